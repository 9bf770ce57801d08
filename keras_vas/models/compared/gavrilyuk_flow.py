"""Gavrilyuk et al. with a second stream, which sees optical flow."""

from typing import Literal

import keras

from keras_vas.backbones import TEMPORAL_BACKBONES
from keras_vas.models.compared import common
from keras_vas.models.compared.gavrilyuk import (
    Gavrilyuk,
    pair_sentence,
    stream,
)
from keras_vas.models.compared.optical_flow import OpticalFlow

_RGB, _FLOW = "temporal_backbone", "temporal_flow_backbone"


@keras.saving.register_keras_serializable("keras_vas")
class GavrilyukFlow(common.ComparedModel):
    """Gavrilyuk et al.'s segmentation with RGB and optical flow.

    What `Gavrilyuk` says, and a second stream of its own weights on flow;
    the mask is twice the response of RGB and once that of flow [third party].

    - Flow: `OpticalFlow` within the model, so that every program works as it
      does; theirs is TV-L1 [third party]. Our frames are two apart.
    - Trained together, one loss on the sums; theirs are two trainings
      [third party]. One sentence feature serves both streams [chosen].
    - Nobody here publishes weights of I3D for flow. `--temporal_weights`
      gives both streams those of RGB, the first kernel of flow the mean over
      the colours [chosen].

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown.
        temporal_backbone: network that sees the clip; the authors' is I3D.
        width: multiplies the channels of backbones, text and decoder.
        text_channels: channels of the sentence, before `width`.
        embedding_dim: numbers in a word vector.
        train_embeddings: train the word vectors too.
        num_frames: frames in a clip; the target is the one at half of them.
        deep_supervision: also output the responses at strides 4 and 16, which
            only training needs.
        synchronized: take batch statistics over all replicas (TensorFlow
            only).

    Call arguments and output:
        Those of `SegmentationModel`, with `mask_logits_p2` and
        `mask_logits_p4`.

    Reference:
        Gavrilyuk et al., "Actor and Action Video Segmentation from a
        Sentence", CVPR 2018.
    """

    reference = "Gavrilyuk RGB + flow (Gavrilyuk et al., CVPR 2018)"
    parts = common.parts(
        "temporal", common.BELOW_MIXED_4F, ("backbone", "flow_backbone")
    )
    costs = {
        **Gavrilyuk.costs,
        "flow backbone": (_FLOW,),
        "flow": ("temporal_flow_pixels",),
    }
    results = {
        "a2d_sentences": (50.0, 37.6, 23.1, 9.4, 0.4, 21.5, 55.1, 42.6),
        "jhmdb_sentences": (69.9, 46.0, 17.3, 1.4, 0.0, 23.3, 54.1, 54.2),
    }

    def __init__(
        self,
        vocabulary_size: int = 1312,
        temporal_backbone: Literal[*TEMPORAL_BACKBONES] = "i3d",
        width: float = 1.0,
        text_channels: int = 300,
        embedding_dim: int = 300,
        train_embeddings: bool = False,
        num_frames: int = 8,
        deep_supervision: bool = False,
        synchronized: bool = False,
        name: str = "gavrilyuk_flow",
    ):
        arguments = dict(locals())
        inputs = common.inputs(num_frames)
        sentence = pair_sentence(
            inputs["tokens"],
            vocabulary_size,
            round(text_channels * width),
            embedding_dim,
            train_embeddings,
        )
        flow = OpticalFlow(dtype="float32", name="temporal_flow_pixels")(
            inputs["frames"]
        )
        rgb, moving = (
            stream(
                clip,
                sentence,
                (temporal_backbone, width),
                backbone,
                decoder,
                deep_supervision,
                synchronized,
            )
            for clip, backbone, decoder in (
                (inputs["frames"], _RGB, "decoder"),
                (flow, _FLOW, "decoder_flow"),
            )
        )
        outputs = {}
        for stage, response in rgb.items():
            outputs |= common.logits(2 * response + moving[stage], stage)
        super().__init__(arguments, inputs, outputs, name)

    def weights_assigned(self, part: str):
        """Gives the stream of flow what that of RGB has got."""
        if part != _RGB:
            return
        print(
            "there are no weights for flow: its stream begins with those of "
            "RGB, its first kernel with their mean over the colours"
        )
        for layer in self.layers_of(part):
            twin = self.get_layer(layer.name.replace(_RGB, _FLOW, 1))
            pairs = zip(twin.weights, layer.weights, strict=True)
            for ours, theirs in pairs:
                value = theirs.numpy()
                if ours.shape != theirs.shape:
                    value = value.mean(-2, keepdims=True).repeat(2, axis=-2)
                ours.assign(value)
