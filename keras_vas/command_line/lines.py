"""Errors of one line."""

import sys


def fail(error):
    """Ends the program with status 1 and one line on standard error.

    What a terminal would obey is shown instead, such as in a file's name.
    """
    text = " ".join(str(error).split())
    shown = (x if x.isprintable() else ascii(x)[1:-1] for x in text)
    print("error: " + "".join(shown), file=sys.stderr)
    sys.exit(1)
