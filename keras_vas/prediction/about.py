"""What a model says about itself before it works."""

import dataclasses

from keras_vas import files
from keras_vas.runs import run as run_directory

CARD = "assets.extra/model_card.json"
_DRAWN = "moving_actors"


@dataclasses.dataclass(frozen=True)
class About:
    """What is known of a model; as a str, it is one line about it.

    Attributes:
        name: of the preset, run, file or export.
        architecture: name of its class, or its reference.
        data: what it was trained on, a phrase, "" where nobody wrote it down.
        real: whether it is known to have seen more than drawn shapes.
        words: how many it knows, `None` where nobody wrote them down.
    """

    name: str
    architecture: str
    data: str = ""
    real: bool = False
    words: int | None = None

    def __str__(self):
        """Such as "demo (CSTM): trained on ...; it knows 64 words."."""
        data = f"trained on {self.data}" if self.data else "its data is unknown"
        words = f"{self.words:,}" if self.words is not None else "unknown"
        return f"{self.name} ({self.architecture}): {data}; {words} words."


def of_preset(name, preset, model, vocabulary):
    """`About` a preset of the package.

    Args:
        name: str.
        preset: `presets.registry.Preset`.
        model: `SegmentationModel`.
        vocabulary: its `Vocabulary`.
    """
    return About(
        name,
        type(model).__name__,
        preset.data,
        preset.real,
        len(vocabulary.words),
    )


def of_run(name, config, model, vocabulary):
    """`About` what a run has trained.

    Args:
        name: str, of the run or the file.
        config: dict of its config.json.
        model: `SegmentationModel`.
        vocabulary: its `Vocabulary`.

    Raises:
        UserError: the config was edited.
    """
    data = run_directory.trained_on(config.get("data_manifest", {}))
    return About(
        name, type(model).__name__, *_phrase(data), len(vocabulary.words)
    )


def of_export(name, folder, vocabulary=None):
    """`About` a SavedModel.

    Args:
        name: str, for one whose model card says none.
        folder: `pathlib.Path` with `saved_model.pb`.
        vocabulary: its `Vocabulary`, where it has one.

    Raises:
        UserError: its model card was edited.
    """
    card, advice = {}, "export it again"
    if (folder / CARD).is_file():
        card = files.read_json(folder / CARD, advice)
    data, real = _phrase(run_directory.trained_on(card.get("data", {})))
    preset = card.get("preset", {})
    return About(
        str(card.get("name", name)),
        str(card.get("architecture", "a SavedModel")),
        str(preset.get("data", data)),
        real or bool(preset),
        vocabulary and len(vocabulary.words),
    )


def _phrase(data):
    """The phrase, and whether it is of real videos or pictures."""
    sets = []
    for part in data:
        counts = [
            f"{number:,} {'sentences' if what == 'queries' else what}"
            for what, number in part["splits"]["train"].items()
        ]
        drawn = "drawn shapes of " if part["dataset"] == _DRAWN else ""
        sets.append(f"{drawn}{part['dataset']} ({', '.join(counts)})")
    return " and ".join(sets), any(x["dataset"] != _DRAWN for x in data)
