"""Errors of one line."""

import sys


def fail(error):
    """Ends the program with status 1 and one line on standard error."""
    print("error: " + " ".join(str(error).split()), file=sys.stderr)
    sys.exit(1)
