"""The model card: what an exported model is, as JSON and as a page."""

import datetime
import json
import os
import re

from keras_vas import __version__
from keras_vas.data.records.schema import CLIP_OFFSETS
from keras_vas.data.text.vocabulary import MAX_WORDS
from keras_vas.export.checks import MAX_ROWS
from keras_vas.export.images import MAX_IMAGE_PIXELS, MAX_REQUEST_PIXELS
from keras_vas.models import registry

# of a metrics.json, what says nothing about the model
_WITHOUT = (
    "made_by",
    "workdir",
    "sentence_warnings",
    "corrupt_records",
    "seconds",
    "samples_per_second",
)
CODE_LICENCE = "Apache-2.0"
WEIGHTS_LICENCE = (
    "not stated; the terms of the training data and of any pretrained "
    "weights apply"
)


def card(
    model,
    vocabulary,
    config,
    calibration,
    *,
    name,
    run,
    which,
    height,
    width,
    precision,
    frame_size,
    batch_size,
    best,
    evaluation=None,
    licence=None,
    preset=None,
):
    """Everything that a user of the model should know.

    Args:
        model: `SegmentationModel` that is exported.
        vocabulary: its `Vocabulary`.
        config: dict of the run's config.json.
        calibration: `presence.Calibration`.
        name: str, name of the model.
        run: path of the run directory; only its last part is written.
        which: `"best"` or `"last"` checkpoint.
        height: int, height at which the model sees frames, pixels.
        width: int, likewise.
        precision: `"float32"` or `"bfloat16"`.
        frame_size: `(height, width)` that the signatures demand, or None.
        batch_size: rows that they demand, or None.
        best: dict of the metrics that chose the checkpoint, or None.
        evaluation: dict of an evaluation's metrics.json, or None.
        licence: str, licence of the weights, or None if it is not stated.
        preset: `presets.Preset` of which the run was made, or None.

    Returns:
        Dict that JSON can hold.
    """
    manifest = config.get("data_manifest", {})
    data = _data_set(manifest)
    if "parts" in manifest:
        data = {"parts": [_data_set(part) for part in manifest["parts"]]}
    known = {}
    if preset:
        known = {"preset": dict(line.split(": ", 1) for line in preset.lines())}
        licence = licence or preset.licence
    if evaluation:
        evaluation = {k: v for k, v in evaluation.items() if k not in _WITHOUT}
    num_frames = model.input["frames"].shape[1]
    rows = batch_size or "B"
    size = f"{frame_size[0]}, {frame_size[1]}" if frame_size else "H, W"
    return {
        "name": name,
        "task": "segmentation of the actor that a sentence describes, in the "
        f"frame {num_frames // 2} (from 0) of a clip of {num_frames} frames",
        "architecture": registry.model_class(
            registry.name_of(config)
        ).reference,
        "made": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "keras_vas": __version__,
        "versions": config.get("versions", {}),
        "run": os.path.basename(os.path.abspath(run)),
        "checkpoint": which,
        "parameters": model.count_params(),
        "model": config["model"],
        "precision": precision,
        "licence": {
            "code": CODE_LICENCE,
            "weights": licence or WEIGHTS_LICENCE,
        },
        **known,
        "data": data,
        "metrics": {
            "checkpoint": best,
            "evaluation": evaluation,
            "presence_score": calibration.metrics or None,
        },
        "inputs": {
            "serving_default": {
                "frames": f"uint8 [{rows}, {num_frames}, {size}, 3], RGB",
                "query": f"string [{rows}], UTF-8",
            },
            "segment_jpeg": {
                "frames": f"string [{rows}, {num_frames}], JPEG or PNG, one "
                "size in a clip",
                "query": f"string [{rows}], UTF-8",
            },
            "segment_many": {
                "frames": f"uint8 [{num_frames}, {size}, 3], RGB, one clip",
                "queries": "string [Q], UTF-8",
            },
            "segment_many_jpeg": {
                "frames": f"string [{num_frames}], JPEG or PNG, one size",
                "queries": "string [Q], UTF-8",
            },
            "describe": {"queries": "string [Q], UTF-8"},
            "clip": "frames f-8 to f+6 in steps of two around frame f of the "
            "video, whose mask is given; a number outside of the video is "
            "the nearest inside",
            "clip_offsets": list(CLIP_OFFSETS),
            "network_size": [height, width],
            "words_read": MAX_WORDS,
            "words_known": len(vocabulary.words),
        },
        "limits": {
            "rows_in_a_request": MAX_ROWS,
            "pixels_in_a_picture": MAX_IMAGE_PIXELS,
            "pixels_in_a_request": MAX_REQUEST_PIXELS,
        },
        "outputs": {
            "serving_default": {
                "mask": f"float32 [{rows}, {size}], probabilities",
                "score": f"float32 [{rows}]",
            },
            "segment_jpeg": {
                "mask_png_bytes": f"string [{rows}], 8-bit grey PNG of the "
                "clip's size, 255 x probability",
                "score": f"float32 [{rows}]",
            },
            "segment_many": {
                "masks": f"float32 [Q, {size}], probabilities",
                "scores": "float32 [Q]",
            },
            "segment_many_jpeg": {
                "masks_png_bytes": "string [Q], 8-bit grey PNG of the clip's "
                "size, 255 x probability",
                "scores": "float32 [Q]",
            },
            "describe": {
                "unknown_words": "string [Q], spaces between",
                "threshold": "float32 [Q], the mask's",
                "about": "string [Q], a line about the model",
            },
        },
        "mask": {
            "threshold": calibration.threshold,
            "meaning": "the actor is where the probability exceeds the "
            "threshold",
            "source": calibration.source,
        },
        "score": {
            "meaning": "probability that the actor is in the clip at all; it "
            "does not rate the mask",
            "definition": "sigmoid(slope * log(m / (1 - m)) + offset), where "
            "m = sum p^2 / sum p over the probabilities p at the network's "
            "size",
            "slope": calibration.slope,
            "offset": calibration.offset,
            "source": calibration.source,
        },
    }


def _data_set(manifest):
    return {
        "dataset": manifest.get("dataset"),
        "splits": {
            split: {
                count: content[count]
                for count in ("videos", "frames", "queries", "samples")
                if count in content
            }
            for split, content in manifest.get("splits", {}).items()
        },
    }


def markdown(content):
    """The same as a page: what is plain first, then each part.

    Args:
        content: dict that `card` returned.

    Returns:
        str, CommonMark.
    """
    lines = [
        f"# {_escaped(content['name'])}",
        "",
        f"A model for {_escaped(content['task'])}.",
        "",
    ]
    others = {k: v for k, v in content.items() if k not in ("name", "task")}
    lines += _items({k: v for k, v in others.items() if not _nested(v)})
    for title, part in others.items():
        if _nested(part):
            lines += ["", f"## {_label(title).capitalize()}", "", *_items(part)]
    return "\n".join(lines) + "\n"


def _nested(value):
    return isinstance(value, dict) or (
        isinstance(value, list) and any(map(_nested, value))
    )


def _items(part, indent=""):
    if isinstance(part, list):
        part = dict(enumerate(part, 1))
    lines = []
    for name, value in part.items():
        if _nested(value) and value:
            lines.append(f"{indent}- {_label(name)}:")
            lines += _items(value, indent + "  ")
        else:
            lines.append(f"{indent}- {_label(name)}: {_escaped(_text(value))}")
    return lines or [f"{indent}- not known"]


def _label(name):
    return _escaped(str(name).replace("_", " "))


def _escaped(text):
    """Text that CommonMark shows as it is."""
    return re.sub(r"([\\`*_\[\]<>&#|~])", r"\\\1", " ".join(text.split()))


def _text(value):
    if value is None or value == {} or value == []:
        return "not known"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)


def as_json(content):
    """The card as JSON text."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
