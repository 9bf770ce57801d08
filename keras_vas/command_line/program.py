"""What every program does: --help, and errors of one line."""

import errno
import re
import sys

from absl import app, flags

from keras_vas.command_line import configs, help_text, lines
from keras_vas.errors import UserError

_MISSING = re.compile(
    r"flag --(\w+)=None: Flag --\1 must have a value other than None\."
)


def run(main):
    """Runs `main(argv)` as a program and exits with its status.

    Args:
        main: function that takes the list of command-line words, of which
            only the program's name is left. It may return an exit status;
            `None` means 0. The docstring of its module opens the help.

    With --help it prints the help and returns. Exits with status 1 and one
    line on standard error on a `UserError`, an unknown or ill-formed flag, a
    word that is no flag, an operating-system error that names its file (disk
    full, permission denied), and with status 130 on ctrl-C.
    """
    if any(word in help_text.WORDS for word in sys.argv[1:]):
        print(help_text.make(main.__globals__["__doc__"]))
        return
    try:
        argv = flags.FLAGS(configs.words())
    except flags.Error as error:
        said = _MISSING.sub(r"--\1 is needed;", str(error)).rstrip("; ")
        lines.fail(f"{said} (see {sys.argv[0]} --help)")
    try:
        app.run(_reporting(main), argv=argv)
    except flags.Error as error:
        lines.fail(error)


def _reporting(main):
    def reported_main(argv):
        try:
            if len(argv) > 1:
                raise UserError(
                    f"{argv[1]} is not a flag: write every flag as --name=value"
                )
            return main(argv)
        except UserError as error:
            lines.fail(error)
        except KeyboardInterrupt:
            sys.exit(130)
        except OSError as error:
            if error.errno is None:
                raise
            lines.fail(_operating_system_error(error))

    return reported_main


def _operating_system_error(error):
    where = f": {error.filename}" if error.filename else ""
    advice = {
        errno.ENOSPC: "; free some disk space and start again",
        errno.EACCES: "; check the permissions",
    }.get(error.errno, "")
    return f"{error.strerror}{where}{advice}"
