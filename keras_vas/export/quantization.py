"""Convolutions in 8 bits, as many as the masks allow.

NNCF finds the ranges of what convolutions read, on clips and sentences of the
training split. If the masks are then worse than `MOST_LOSS` allows, groups of
convolutions that follow one another go back to floating point: first those
whose return alone brings the probabilities of `PROBES` clips closest to what
they were, as few groups as suffice, and at most half of them.
"""

import dataclasses
import functools
import importlib.util
import logging
import pathlib
import tempfile

import numpy as np

from keras_vas.data import records, training_split
from keras_vas.data.records import schema
from keras_vas.data.text import vocabulary as vocabulary_lib
from keras_vas.errors import UserError
from keras_vas.evaluation import protocol
from keras_vas.export import quantized_parts
from keras_vas.prediction import openvino_parts
from keras_vas.prediction.openvino_segmenter import OpenVINOSegmenter

MIN_CLIPS = 100
MIN_SAMPLES = 300
MOST_LOSS = 0.5  # points of mean IoU
PROBES = 8
_GROUPS = 12  # of a part
# What costs little, and masks much, in 8 bits.
_FLOATING = ("MatMul", "Multiply", "ReduceMean", "ReduceSum", "Interpolate")


@dataclasses.dataclass(frozen=True)
class Samples:
    """The records that are used, of the training split.

    Attributes:
        calibration: list of `schema.AnnotatedFrame`, to find ranges on.
        judged: list of `schema.AnnotatedFrame`, to measure the loss on.
        source: where `judged` is from, str.
    """

    calibration: list
    judged: list
    source: str


def library():
    """The module `nncf`.

    Raises:
        UserError: it, or OpenVINO, is not installed.
    """
    openvino_parts.library()
    if importlib.util.find_spec("nncf") is None:
        raise UserError(
            "NNCF is not installed, which --precision=int8 needs; install it "
            "(pip install 'keras_vas[int8]'), or take --precision=bfloat16"
        )
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


def draw(directory, flags, vocabulary, force=False):
    """Chooses the records to calibrate on and to judge by.

    Args:
        directory: folder with the run's records.
        flags: dict of the run's flags, which decide what it set aside.
        vocabulary: its `Vocabulary`.
        force: take what there is, if it is too little.

    Returns:
        `Samples`.

    Raises:
        UserError: the records cannot be read, are too few, or speak words
            that the model does not know.
    """
    index = records.read_index(directory, "train")
    training, aside = training_split.divide_as_run(index, flags)
    judged, source = aside, "validation videos"
    if aside is None or aside.num_samples < MIN_SAMPLES:
        judged, source = index, "training videos"
    for what, count, least in (
        ("clips", len(training), MIN_CLIPS),
        ("samples", judged.num_samples, MIN_SAMPLES),
    ):
        if count < least and not force:
            raise UserError(
                f"the train split in {directory} has {count} {what} to "
                f"calibrate int8 and measure its loss, and {least} are needed; "
                "give more records, or --force"
            )
    calibration = [training.read(i) for i in _order(training)[:MIN_CLIPS]]
    _check_words(calibration, vocabulary, directory)
    # from the other end, so that they are others where both are one split
    chosen, count = [], 0
    for number in _order(judged)[::-1]:
        if count >= MIN_SAMPLES:
            break
        chosen.append(judged.read(number))
        count += len(chosen[-1].queries)
    return Samples(calibration, chosen, source)


def quantize(parts, size, vocabulary, calibration, samples, force=False):
    """Quantizes the convolutions of a model.

    Args:
        parts: dict of `openvino_parts.convert`.
        size: `(height, width)` of the network's frames.
        vocabulary: the model's `Vocabulary`.
        calibration: `presence_score.Calibration`.
        samples: `Samples`.
        force: return the model also if it misses the gate.

    Returns:
        `(parts, report)`: the same with convolutions in 8 bits, and a dict
        for the model card.

    Raises:
        UserError: NNCF is missing, or the loss is above `MOST_LOSS` with half
            of the convolutions left out.
    """
    measured = _Measured(size, vocabulary, calibration, samples)
    exact = measured.segmenter(parts, "float32")
    whole = _by_nncf(parts, exact, samples.calibration)
    before = measured.mean_iou(exact)
    groups = _groups(parts)

    def tried(number):
        """Points of mean IoU lost with that many groups excluded."""
        names = [name for group in groups[:number] for name in group]
        found = quantized_parts.exclude(whole, parts, names)
        after = measured.mean_iou(measured.segmenter(found, "int8"))
        print(
            f"int8 with {len(names)} convolutions left out: mean IoU "
            f"{100 * after:.2f}, in float32 {100 * before:.2f}",
            flush=True,
        )
        return 100 * (before - after), names, found

    lost, excluded, found = tried(0)
    if lost > MOST_LOSS:
        groups = measured.ranked(groups, whole, parts, exact)
        lost, excluded, found = fewest(tried, len(groups) // 2)
    if lost > MOST_LOSS and not force:
        raise UserError(
            f"int8 loses {lost:.2f} points of mean IoU even with half of the "
            f"convolutions left out, and {MOST_LOSS} are allowed; take "
            "--precision=bfloat16, or --force"
        )
    return found, {
        "computed_by": measured.segmenter(found, "int8").runtime,
        "calibration_clips": len(samples.calibration),
        "samples": sum(len(x.queries) for x in samples.judged),
        "samples_from": samples.source,
        "mean_iou_float32": before,
        "mean_iou_int8": before - lost / 100,
        "loss_points": lost,
        "allowed_points": MOST_LOSS,
        "convolutions": len(quantized_parts.kernels(parts)),
        "excluded": quantized_parts.table(parts, excluded) or "none",
    }


def fewest(tried, most):
    """Searches for the fewest groups without which the loss is allowed.

    Args:
        tried: function of a number of groups to a tuple that begins with the
            loss in points; with 0 groups the loss is above `MOST_LOSS`.
        most: how many groups may be left out.

    Returns:
        What `tried` returned for that number, or for `most` if that is not
        enough.
    """
    fails, passes = 0, most
    best = tried(most)
    while best[0] <= MOST_LOSS and passes - fails > 1:
        middle = (fails + passes) // 2
        found = tried(middle)
        if found[0] > MOST_LOSS:
            fails = middle
        else:
            passes, best = middle, found
    return best


class _Measured:
    """What masks and probabilities become, of parts on some samples."""

    def __init__(self, size, vocabulary, calibration, samples):
        self._size, self._samples = size, samples
        self._arguments = vocabulary, calibration

    def segmenter(self, parts, precision):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            openvino_parts.save(folder, parts, *self._size, precision)
            return OpenVINOSegmenter(folder, *self._arguments)

    def mean_iou(self, segmenter):
        """Mean IoU at the model's threshold."""
        ious = []
        for record in self._samples.judged:
            found = _probabilities(segmenter, record)
            found = segmenter.enlarge(found, record.height, record.width)
            ious += [
                protocol.judge(x, record, i, segmenter.threshold)[0].iou
                for i, x in enumerate(found)
            ]
        return float(np.mean(ious))

    def ranked(self, groups, whole, parts, exact):
        """Groups in the order in which their return helps most."""
        probes = self._samples.calibration[:PROBES]
        wanted = [_probabilities(exact, x) for x in probes]

        def distance(group):
            found = quantized_parts.exclude(whole, parts, group)
            segmenter = self.segmenter(found, "int8")
            return np.mean(
                [
                    np.abs(_probabilities(segmenter, record) - x).mean()
                    for record, x in zip(probes, wanted, strict=True)
                ]
            )

        return sorted(groups, key=distance)


def _by_nncf(parts, exact, frames):
    """The parts with all convolutions in 8 bits."""
    nncf = library()
    seen = functools.lru_cache(maxsize=1)(
        lambda number: exact.see(_clip(exact, frames[number]))
    )
    asked = [
        (number, query.text)
        for number, frame in enumerate(frames)
        for query in frame.queries
    ]
    data = {
        "clip": nncf.Dataset(
            frames, lambda frame: {"frames": _clip(exact, frame)[None]}
        ),
        "joint": nncf.Dataset(
            asked,
            lambda x: exact.joint_inputs(seen(x[0]), exact.encode([x[1]])[0]),
        ),
    }
    lengths = {"clip": len(frames), "joint": len(asked)}
    quantized = {
        name: nncf.quantize(
            parts[name],
            dataset,
            subset_size=lengths[name],
            ignored_scope=nncf.IgnoredScope(
                types=list(_FLOATING), validate=False
            ),
        )
        if quantized_parts.kernels({name: parts[name]})
        else parts[name]
        for name, dataset in data.items()
    }
    return {**parts, **quantized}


def _groups(parts):
    """Names of the convolutions, a few that follow one another together."""
    groups = []
    for name, part in parts.items():
        names = list(quantized_parts.kernels({name: part}))
        if names:
            count = min(_GROUPS, len(names))
            groups += [x.tolist() for x in np.array_split(names, count)]
    return groups


def _probabilities(segmenter, record):
    """float32 `(queries, height, width)`, at the network's size."""
    text = segmenter.encode([query.text for query in record.queries])
    return segmenter.run(_clip(segmenter, record)[None], text)[0][0]


def _clip(segmenter, record):
    frames = [schema.decode_jpeg(data) for data in record.clip]
    return np.stack([segmenter.shrink(frame) for frame in frames])


def _order(index):
    return np.random.default_rng(0).permutation(len(index))


def _check_words(frames, vocabulary, directory):
    texts = [query.text for frame in frames for query in frame.queries]
    unknown = [vocabulary_lib.unknown_words([x], vocabulary) for x in texts]
    strange = sum(map(bool, unknown))
    if 2 * strange > len(texts):
        words = vocabulary_lib.listed(
            list(dict.fromkeys(word for words in unknown for word in words))
        )
        raise UserError(
            f"the model does not know words of {strange} of {len(texts)} "
            f"sentences in {directory} ({words}); give the records that it "
            "was trained on"
        )
