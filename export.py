"""Exports a trained run for TF Serving, or as one Keras file.

The program is keras_vas/programs/export.py; see python export.py --help.
"""

from keras_vas.programs import export

if __name__ == "__main__":
    export.run()
