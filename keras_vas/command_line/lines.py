"""What a program writes: errors of one line, counts, progress."""

import itertools
import sys

import tqdm


def fail(error):
    """Ends the program with status 1 and one line on standard error.

    What a terminal would obey is shown instead, such as in a file's name.
    """
    text = " ".join(str(error).split())
    shown = (x if x.isprintable() else ascii(x)[1:-1] for x in text)
    print("error: " + "".join(shown), file=sys.stderr)
    sys.exit(1)


def counted(number, noun):
    """A number and what it counts, such as "1 epoch" or "1,200 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def progress(items, **options):
    """Yields items beside a progress bar whose clock starts at the first one.

    A network is compiled before the first item comes; counted in, it would
    make the time left many times too long.

    Args:
        items: iterable.
        **options: of `tqdm.tqdm`.
    """
    items = iter(items)
    first = list(itertools.islice(items, 1))
    with tqdm.tqdm(itertools.chain(first, items), **options) as bar:
        yield from bar
