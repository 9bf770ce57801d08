"""Trains a model on records written by tfrecords/build_*.py.

The program is keras_vas/programs/train.py; see python train.py --help.
"""

from keras_vas.programs import train

if __name__ == "__main__":
    train.run()
