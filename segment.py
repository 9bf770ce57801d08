"""Segments a video by sentences.

The program is keras_vas/programs/segment.py; see python segment.py --help.
"""

from keras_vas.programs import segment

if __name__ == "__main__":
    segment.run()
