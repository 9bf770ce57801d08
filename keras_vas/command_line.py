"""Runs a program whose errors are one line for its user."""

import errno
import sys

from absl import app, flags

from keras_vas.errors import UserError


def run(main):
    """Runs `main(argv)` as a program and exits with its status.

    Args:
        main: callable that takes the list of command-line words, of which
            only the program's name is left. It may return an exit status;
            `None` means 0.

    Exits with status 1 and one line on standard error on a `UserError`, an
    unknown or ill-formed flag, a word that is no flag, an operating-system
    error that names its file (disk full, permission denied), and with status
    130 on ctrl-C.
    """
    try:
        argv = flags.FLAGS(sys.argv)
    except flags.Error as error:
        _fail(f"{_one_line(error)} (see {sys.argv[0]} --help)")
    try:
        app.run(_reporting(main), argv=argv)
    except flags.Error as error:
        _fail(_one_line(error))


def _reporting(main):
    def reported_main(argv):
        try:
            if len(argv) > 1:
                raise UserError(
                    f"{argv[1]} is not a flag: write every flag as --name=value"
                )
            return main(argv)
        except UserError as error:
            _fail(_one_line(error))
        except KeyboardInterrupt:
            sys.exit(130)
        except OSError as error:
            if error.errno is None:
                raise
            _fail(_operating_system_error(error))

    return reported_main


def _operating_system_error(error):
    where = f": {error.filename}" if error.filename else ""
    advice = {
        errno.ENOSPC: "; free some disk space and start again",
        errno.EACCES: "; check the permissions",
    }.get(error.errno, "")
    return f"{error.strerror}{where}{advice}"


def _one_line(error):
    return " ".join(str(error).split())


def _fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
