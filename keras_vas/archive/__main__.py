"""What python -m keras_vas.archive runs: the archive, or its report."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["report"]:
        from keras_vas.archive import report as program
    else:
        from keras_vas.archive import program
    program.run()
