"""Li et al.: a filter made of the sentence, at stride 32."""

from typing import Literal

import keras

from keras_vas.backbones import SPATIAL_BACKBONES
from keras_vas.models.compared import common, hu
from keras_vas.models.compared.dynamic_filter import DynamicFilter

_UNIFORM = 0.08


@keras.saving.register_keras_serializable("keras_vas")
class Li(hu.PictureModel):
    """Li et al.'s lingual specification network, frame by frame.

    Marks: [code] the authors' program, [derived] an inference, [open] stated
    nowhere that was found.

    - Picture, words and LSTM as `Hu`, the LSTM's weights uniform within 0.08,
      the feature not normalized [code].
    - A linear map of the sentence and a sigmoid give the filter of one cell
      on [feature, eight coordinates], see `DynamicFilter`; no bias [code].
    - A transposed 64x64 with stride 32, whose first values are [open]; chosen
      bilinear.
    - On ReferIt: cross-entropy without weights, Adam 1e-3 at stride 32, then
      1e-4 at full size; conv1 to conv5 frozen [code].

    Of their three trackers this network alone needs no box, so the tables
    mean it [derived]. How it was trained on A2D is [open]. Chosen: ImageNet,
    no ReferIt; both strides at once, Adam with 1e-3.

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown.
        spatial_backbone: network that sees the target frame; the authors' is
            VGG-16 with fc6 to fc8. Any other gives its stage 5.
        width: multiplies the channels of backbone, text and response.
        text_channels: channels of the LSTM, before `width`.
        embedding_dim: numbers in a word vector.
        train_embeddings: train the word vectors too.
        num_frames: frames in a clip; the target is the one at half of them.
        deep_supervision: also output the response at stride 32, which only
            training needs.
        synchronized: take batch statistics over all replicas (TensorFlow
            only).

    Call arguments and output:
        Those of `SegmentationModel`, with `mask_logits_p5`.

    Reference:
        Li et al., "Tracking by Natural Language Specification", CVPR 2017;
        numbers on A2D from Gavrilyuk et al., CVPR 2018.
    """

    reference = "Li (Li et al., CVPR 2017)"
    results = {
        "a2d_sentences": (38.7, 29.0, 17.5, 6.6, 0.1, 16.3, 51.5, 35.4),
        "jhmdb_sentences": (57.8, 33.5, 10.3, 0.6, 0.0, 17.3, 52.9, 49.1),
    }

    def __init__(
        self,
        vocabulary_size: int = 1312,
        spatial_backbone: Literal[*SPATIAL_BACKBONES] = "vgg16",
        width: float = 1.0,
        text_channels: int = 1000,
        embedding_dim: int = 1000,
        train_embeddings: bool = True,
        num_frames: int = 8,
        deep_supervision: bool = False,
        synchronized: bool = False,
        name: str = "li",
    ):
        arguments = dict(locals())
        inputs = common.inputs(num_frames)
        vectors, word_mask = common.word_vectors(
            inputs["tokens"], vocabulary_size, embedding_dim, train_embeddings
        )
        feature = hu.picture_feature(
            inputs["frames"], spatial_backbone, width, synchronized
        )

        def uniform():
            return keras.initializers.RandomUniform(-_UNIFORM, _UNIFORM)

        sentence = hu.lstm_sentence(
            vectors,
            word_mask,
            round(text_channels * width),
            kernel_initializer=uniform(),
            recurrent_initializer=uniform(),
        )
        response = DynamicFilter("sigmoid", name="decoder_response_filter")(
            common.located([feature], "decoder_response"), sentence
        )
        outputs = hu.outputs_of(response, deep_supervision)
        super().__init__(arguments, inputs, outputs, name)
