"""What can be set of a training, on every Keras backend."""

import collections
import dataclasses
import inspect
from typing import Literal

from absl import flags

from keras_vas import command_line, losses
from keras_vas.data.frame_size import check_size
from keras_vas.data.records import schema
from keras_vas.models import registry
from keras_vas.training.learning_rate import SCHEDULES, LearningRate


@dataclasses.dataclass(frozen=True)
class Course:
    """How long a training is, and what is drawn by lot in it.

    Attributes:
        epochs: passes over the training samples.
        batch_size: samples in a step, those of all devices together.
        statistics_momentum: how slowly batch normalization's moving
            statistics follow, 0 to 1; less than 0.99 for a training of less
            than about 500 steps.
        seed: number from which weights, order and augmentation are drawn.
    """

    epochs: int = 12
    batch_size: int = 8
    statistics_momentum: float = 0.99
    seed: int = 0

    def __post_init__(self):
        _check(self, "epochs", 1)
        _check(self, "batch_size", 1)
        _check(self, "statistics_momentum", 0, 1)
        _check(self, "seed", 0, 2**32 - 1)


@dataclasses.dataclass(frozen=True)
class Input:
    """What the model sees of the records.

    Attributes:
        frame_height: height of the model's frames in pixels, a multiple of 32.
        frame_width: width of the model's frames in pixels, a multiple of 32.
        group_queries: keep the sentences of a frame in one batch.
        sentences_per_clip: sentences about each clip of a batch; with more
            than 1 an epoch has each frame once.
        data_weights: how often clips of each folder of --data are taken, such
            as 3,1; without, as often as there are clips.
        skip_corrupt: leave corrupt records out, and name them.
    """

    frame_height: int = 320
    frame_width: int = 320
    group_queries: bool = False
    sentences_per_clip: int = 1
    data_weights: tuple[float, ...] = ()
    skip_corrupt: bool = False

    def __post_init__(self):
        check_size(self.frame_height, self.frame_width)
        _check(self, "sentences_per_clip", 1)
        if not all(0 < weight < float("inf") for weight in self.data_weights):
            raise ValueError(
                "--data_weights must be positive; got "
                + ",".join(map(str, self.data_weights))
            )

    def check_batch(self, batch_size, replicas):
        """Raises a ValueError unless a batch divides among the replicas."""
        clips = replicas * self.sentences_per_clip
        if batch_size % clips:
            raise ValueError(
                f"--batch_size={batch_size} does not divide among {replicas} "
                f"devices with {self.sentences_per_clip} sentences a clip; "
                f"give a multiple of {clips}"
            )


@dataclasses.dataclass(frozen=True)
class Objective:
    """What every mask head is trained for; see `losses.segmentation_loss`.

    Attributes:
        loss: loss of every mask head: weighted binary cross-entropy, the same
            with Dice, or the focal loss.
        positive_weight: weight of the actor's pixels in the cross-entropy,
            where the others have 1.
        names_weight: how much the lesson in names weighs in each step, such
            as 0.1, so that it is not forgotten; 0 ends it before the training.
    """

    loss: Literal[*losses.KINDS] = "bce_dice"
    positive_weight: float = 1.5
    names_weight: float = 0.0

    def __post_init__(self):
        _check(self, "positive_weight", 0)
        _check(self, "names_weight", 0)


@dataclasses.dataclass(frozen=True)
class Optimization:
    """How weights follow their gradients; see `optimizer.Adam`.

    Attributes:
        learning_rate: the highest learning rate.
        schedule: course of the learning rate: divided by 10 every
            `decay_epochs`, or falling to 0 like a cosine.
        decay_epochs: epochs between two divisions, with schedule=step.
        warmup_steps: steps in which the learning rate rises at first; 0 for
            none.
        clip_norm: largest norm of all gradients together; 0 for no limit.
        ema: momentum of the averaged weights, which are evaluated and kept;
            0 for no average.
        weight_decay: share of every kernel that is taken away in a step, as a
            multiple of the learning rate.
    """

    learning_rate: float = 5e-4
    schedule: Literal[*SCHEDULES] = "step"
    decay_epochs: int = 8
    warmup_steps: int = 0
    clip_norm: float = 0.0
    ema: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self):
        for name in ("learning_rate", "warmup_steps", "clip_norm"):
            _check(self, name, 0)
        _check(self, "weight_decay", 0)
        _check(self, "decay_epochs", 1)
        _check(self, "ema", 0, 1)

    def rate(self, epochs, steps_per_epoch):
        """The `LearningRate` of a training of so many steps."""
        return LearningRate(
            self.learning_rate,
            self.schedule,
            total_steps=epochs * steps_per_epoch,
            decay_steps=self.decay_epochs * steps_per_epoch,
            warmup_steps=self.warmup_steps,
        )


@dataclasses.dataclass(frozen=True)
class Beginning:
    """What a training begins with, and what of it is not trained.

    A model begins with random weights, except what is named here. Each part
    has one source: the whole model (`init_run`), or an encoder with its text
    encoder and CMAMs (`spatial_run`, `temporal_run`), or its backbone alone
    (`spatial_weights`, `temporal_weights`). Two sources of one part are an
    error.

    Attributes:
        init_run: run directory or preset, to begin with all of its best
            weights.
        spatial_run: run directory, to take its spatial encoder and its word
            vectors.
        temporal_run: run directory, to take its temporal encoder and its word
            vectors.
        spatial_weights: pretrained weights of the spatial backbone: imagenet,
            another name that `python -m keras_vas.weights list` shows, a
            file, or a run directory.
        temporal_weights: pretrained weights of the temporal backbone:
            kinetics400, or as for the spatial one.
        spatial_names: what the text encoder learns first: wordnet, all nouns
            that are near a class of ImageNet; or a file with the names of the
            classes that the pretrained spatial backbone tells apart, one class
            a line, or imagenet_class_index.json.
        temporal_names: file with the names of the classes of the pretrained
            temporal backbone, whose verbs and nouns are learnt likewise.
        word_vectors: file of word vectors, GloVe text or .npz of words and
            vectors.
        freeze: what keeps its first weights and batch statistics: nothing,
            the backbones, the backbones but for the last blocks that the
            authors of a model trained, or the encoders with the word vectors.
    """

    init_run: str | None = None
    spatial_run: str | None = None
    temporal_run: str | None = None
    spatial_weights: str | None = None
    temporal_weights: str | None = None
    spatial_names: str | None = None
    temporal_names: str | None = None
    word_vectors: str | None = None
    freeze: Literal["none", "backbones", "backbones_but_last", "encoders"] = (
        "none"
    )

    def __post_init__(self):
        for encoder in ("spatial", "temporal"):
            sources = [
                name
                for name in (
                    "init_run",
                    f"{encoder}_run",
                    f"{encoder}_weights",
                )
                if getattr(self, name)
            ]
            if len(sources) > 1:
                raise ValueError(
                    f"--{sources[0]} and --{sources[1]} both say where the "
                    f"{encoder} encoder begins; give one of them"
                )

    def check_names(self, weight):
        """Raises a ValueError unless a lesson's weight and names agree.

        Args:
            weight: `Objective.names_weight`.
        """
        names = self.spatial_names or self.temporal_names
        if weight and not names:
            raise ValueError(
                f"--names_weight={weight} needs --spatial_names or "
                "--temporal_names, which say what is taught"
            )
        if names and self.init_run and not weight:
            raise ValueError(
                f"--init_run={self.init_run} brings what it learnt of names; "
                "with it, names serve --names_weight alone"
            )

    @property
    def runs(self):
        """The run directories that weights are taken from."""
        named = (self.init_run, self.spatial_run, self.temporal_run)
        return [run for run in named if run]

    def source(self, kind, encoder):
        """The value of an attribute such as `spatial_weights`, or `None`."""
        return getattr(self, f"{encoder}_{kind}") or None


def define_model_flags():
    """Defines --model, and a flag for each argument of the model it names.

    Returns:
        List of the flags' names.
    """
    flags.DEFINE_enum(
        "model",
        registry.DEFAULT,
        list(registry.MODELS),
        "Name of the model to train.",
    )
    model = command_line.checked(
        registry.model_class,
        command_line.early_value("model", registry.DEFAULT),
    )
    heads = {"deep_supervision"} & model.inference.keys()
    names = command_line.define_flags(
        model, without=model.programs_set, defaults=dict.fromkeys(heads, True)
    )
    if "num_frames" in names:
        flags.register_validator(
            "num_frames",
            lambda number: number == schema.CLIP_LENGTH,
            f"records hold {schema.CLIP_LENGTH} frames a clip; leave it out",
        )
    owners = collections.defaultdict(list)
    for other in registry.MODELS:
        others = registry.model_class(other)
        for name in inspect.signature(others.__init__).parameters:
            if name not in ("self", *others.programs_set):
                owners[name].append(f"--model={other}")
    command_line.refuse_flags(owners)
    return ["model", *names]


def _check(settings, name, least, most=None):
    value = getattr(settings, name)
    if not value >= least or (most is not None and value > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"--{name}={value} must be {limits}")
