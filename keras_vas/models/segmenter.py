"""The module that `.keras` files of version 0.2 and before name."""

from keras_vas.models.cstm.cstm import CSTM as CSTM
