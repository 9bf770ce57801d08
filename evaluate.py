"""Evaluates a trained run by the protocol of the paper.

The program is keras_vas/programs/evaluate.py; see python evaluate.py --help.
"""

from keras_vas.programs import evaluate

if __name__ == "__main__":
    evaluate.run()
