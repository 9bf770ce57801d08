"""What training, evaluation, export and prediction know of a model."""

import inspect

import keras

from keras_vas.errors import UserError

WORD_VECTORS = "word_embedding"


class SegmentationModel(keras.Model):
    """A functional model from a clip and a sentence to the actor's mask.

    A subclass builds the graph in its constructor, whose arguments all have
    defaults, become flags of train.py (docstring and annotation included),
    and stand in a run's config.json. Among them are `vocabulary_size` and
    `num_frames`. Its word vectors are an `Embedding` named `word_embedding`.

    Args:
        arguments: dict, the subclass's constructor arguments; `locals()`
            will do.
        inputs: dict of `frames`, `(batch, num_frames, height, width, 3)` RGB
            pixel values 0..255, height and width multiples of 32 or None,
            and `tokens`, int32 `(batch, words)`, padded with 0 on the right.
        outputs: dict of `mask_logits`, `(batch, height, width, 1)`, float32;
            in training perhaps `mask_logits_p{i}` at stride 2^i, which are
            trained too.
        name: str.

    Class attributes:
        reference: str, name and source, for model cards.
        programs_set: constructor arguments that are no flags.
        inference: dict of the constructor arguments that differ once the
            model is trained, to their values then.
        parts: dict of a part's name to the prefixes of its layers' names:
            what weights can be taken from another run for, and what can be
            frozen. `{encoder}_backbone` takes pretrained weights.
        results: dict of a data set to its published numbers in percent:
            P@0.5 to P@0.9, AP, overall and mean IoU.
        published: dict of `arguments` and of `multiply_adds`, from the
            beginning of a row of `costs` to the published number, or `None`.
        costs: dict of the rows of `models.summary` to prefixes of names.
    """

    reference = "not published"
    programs_set = ("vocabulary_size", "num_frames", "name")
    inference = {}
    parts = {"none": ()}
    costs = {}
    published = None
    results = {}

    def __init__(self, arguments: dict, inputs: dict, outputs: dict, name: str):
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self._arguments = {
            key: arguments[key]
            for key in inspect.signature(type(self).__init__).parameters
            if key != "self"
        }

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {**self._arguments, "name": self.name}

    def inference_config(self) -> dict:
        """The arguments of the same model without what training alone needs."""
        return {**self.get_config(), **self.inference}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` describes."""
        return cls(**config)

    def sentence_gate(self, encoder, words, noise):
        """What a sentence alone opens of an encoder; for a lesson in names.

        Raises:
            ValueError: the model has no such gate.
        """
        raise ValueError(
            f"{self.name} has no gate that learns the names of classes; leave "
            f"--{encoder}_names out"
        )

    def prefixes_of(self, part: str) -> tuple[str, ...]:
        """What the names of the layers of a part begin with.

        Raises:
            UserError: the model has no such part.
        """
        if part not in self.parts:
            raise UserError(
                f"{self.name} has no part {part}; there are "
                + ", ".join(name for name in self.parts if name != "none")
            )
        return self.parts[part]

    def weights_assigned(self, part: str):
        """Called when a part has got weights of others."""

    def layers_of(self, part: str) -> list[keras.layers.Layer]:
        """The layers of a part, a list of `keras.layers.Layer`."""
        prefixes = self.prefixes_of(part)
        return [x for x in self.layers if x.name.startswith(prefixes)]
