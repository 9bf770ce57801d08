"""The layers of the paper; every public one is listed here."""

from keras_vas.layers.class_prior import ClassPrior as ClassPrior
from keras_vas.layers.cmam import CMAM as CMAM
from keras_vas.layers.coordinates import Coordinates as Coordinates
from keras_vas.layers.frame_scaling import FrameScaling as FrameScaling
from keras_vas.layers.last_word import LastWord as LastWord
from keras_vas.layers.lgfs import LGFS as LGFS
from keras_vas.layers.sentence_convolution import (
    SentenceConvolution as SentenceConvolution,
)
from keras_vas.layers.sentence_mean import SentenceMean as SentenceMean

PUBLIC_LAYERS = (
    CMAM,
    ClassPrior,
    Coordinates,
    FrameScaling,
    LGFS,
    LastWord,
    SentenceConvolution,
    SentenceMean,
)
