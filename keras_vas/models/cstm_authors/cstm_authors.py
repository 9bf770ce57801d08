"""CSTM as its authors published it for inference, another network."""

import keras
from keras import ops

from keras_vas.backbones import STAGES
from keras_vas.backbones.backbone import scaled
from keras_vas.models.cstm.part_names import RESULTS
from keras_vas.models.cstm.visual_encoder import visual_encoder
from keras_vas.models.cstm_authors import state_dict
from keras_vas.models.cstm_authors.aligned_upsampling import AlignedUpsampling
from keras_vas.models.cstm_authors.backbones import AuthorsI3D, AuthorsResNet50
from keras_vas.models.segmentation_model import WORD_VECTORS, SegmentationModel


@keras.saving.register_keras_serializable("keras_vas")
class AuthorsCSTM(SegmentationModel):
    """The network of the authors' checkpoint, which is not the paper's.

    One GRU serves both encoders, ResNet-50 and I3D, whose CMAMs have the
    centred gate. Concatenation and convolutions stand in place of LGFS and of
    equation 9, there are no coordinates in the decoder, and the mask is drawn
    at the size of the frames. Padding takes part in the GRU, the norm and the
    softmax of a sentence. Batch normalization of the decoder is part of its
    convolutions: this is for the published weights, see `state_dict`.

    Args:
        vocabulary_size: how many word ids there are, with 0 = padding and
            1 = unknown, whose vectors are zeros.
        width: multiplies the channels of backbones and decoder.
        text_channels: channels of the GRU and of the CMAMs' keys.
        embedding_dim: numbers in a word vector.
        num_frames: T, frames in a clip; the target is frame T // 2.

    Call arguments and output:
        Those of `SegmentationModel`, `mask_logits` alone.

    Reference:
        Hui et al., CVPR 2021, and the inference code that they published.
    """

    reference = "CSTM, the authors' published network"
    programs_set = (*SegmentationModel.programs_set, "embedding_dim")
    parts = {
        "none": (),
        "backbones": ("spatial_backbone", "temporal_backbone"),
    }
    results = RESULTS
    costs = {
        "word vectors": (WORD_VECTORS,),
        "text encoder": ("text_",),
        "spatial backbone": ("spatial_backbone",),
        "spatial CMAM": ("spatial_cmam",),
        "temporal backbone": ("temporal_backbone",),
        "temporal CMAM": ("temporal_cmam",),
        "decoder laterals": (
            "decoder_spatial_lateral",
            "decoder_temporal_lateral",
        ),
        "decoder": ("decoder_fusion", "decoder_sum", "decoder_upsampling"),
        "decoder head": ("decoder_head",),
    }

    def __init__(
        self,
        vocabulary_size: int = 1312,
        width: float = 1.0,
        text_channels: int = 512,
        embedding_dim: int = 300,
        num_frames: int = 8,
        name: str = "cstm_authors",
    ):
        arguments = dict(locals())
        frames = keras.Input((num_frames, None, None, 3), name="frames")
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        embedded = keras.layers.Embedding(
            vocabulary_size, embedding_dim, trainable=False, name=WORD_VECTORS
        )(tokens)
        cell = keras.layers.GRUCell(text_channels, use_bias=False, name="cell")
        words = keras.layers.RNN(cell, return_sequences=True, name="text_gru")(
            embedded
        )
        words = keras.layers.LayerNormalization(epsilon=1e-5, name="text_norm")(
            words
        )
        words = ops.tanh(words)
        views = {
            "spatial": (AuthorsResNet50, frames[:, num_frames // 2]),
            "temporal": (AuthorsI3D, frames),
        }
        features = {}
        for encoder, (backbone, view) in views.items():
            features[encoder], *_ = visual_encoder(
                backbone(width, f"{encoder}_backbone"),
                view,
                words,
                None,
                cmam_stages=STAGES,
                cmam_arguments={
                    "key_channels": text_channels,
                    "coordinate_fusion": "conv",
                    "gate": "centred",
                },
                name=encoder,
            )
        x = None
        channels = scaled(256, width)
        for stage in reversed(STAGES):
            spatial = features["spatial"][stage]
            temporal = features["temporal"][stage]
            temporal = temporal[:, temporal.shape[1] // 2]
            laterals = [
                _convolution(spatial, channels, f"spatial_lateral_{stage}"),
                _convolution(temporal, channels, f"temporal_lateral_{stage}"),
            ]
            if x is not None:  # the order differs in the uppermost stage
                laterals = laterals[::-1]
            fused = _mixed(laterals, channels, f"fusion_{stage}")
            if x is not None:
                fused = _mixed([x, fused], channels, f"sum_{stage}")
            x = AlignedUpsampling(name=f"decoder_upsampling_{stage}")(fused)
        for number in (1, 2):
            x = _convolution(x, channels, f"head_conv_{number}")
        x = keras.layers.Conv2D(1, 1, name="decoder_head_logits")(x)
        logits = keras.layers.Activation(
            "linear", dtype="float32", name="mask_logits"
        )(x)
        super().__init__(
            arguments,
            inputs={"frames": frames, "tokens": tokens},
            outputs={"mask_logits": logits},
            name=name,
        )

    @staticmethod
    def port(state: dict, source: str) -> tuple[dict, dict]:
        """What a published checkpoint is in this network.

        Args:
            state: dict of name to array, as PyTorch holds them.
            source: path of the checkpoint, for messages.

        Returns:
            `(arguments, arrays)`: dict of constructor arguments; dict of the
            variables' paths to float32 arrays, all but the word vectors.

        Raises:
            UserError: it is no checkpoint of this network.
        """
        arguments = state_dict.arguments(state, source)
        return arguments, state_dict.convert(state, source)


def _convolution(x, channels, name):
    return keras.layers.Conv2D(
        channels, 3, padding="same", activation="relu", name=f"decoder_{name}"
    )(x)


def _mixed(tensors, channels, name):
    x = keras.layers.Concatenate(name=f"decoder_{name}_concat")(tensors)
    return _convolution(x, channels, name)
