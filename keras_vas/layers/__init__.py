"""The layers of the paper; every public one is listed here."""

from keras_vas.layers.cmam import CMAM as CMAM
from keras_vas.layers.coordinates import Coordinates as Coordinates
from keras_vas.layers.frame_scaling import FrameScaling as FrameScaling
from keras_vas.layers.lgfs import LGFS as LGFS
from keras_vas.layers.sentence_mean import SentenceMean as SentenceMean

PUBLIC_LAYERS = (
    CMAM,
    Coordinates,
    FrameScaling,
    LGFS,
    SentenceMean,
)
