"""Pretrained weights: lists, fetches, ports and proves them.

```
python -m keras_vas.weights list
python -m keras_vas.weights fetch NAME
python -m keras_vas.weights port FILE --to=NAME
python -m keras_vas.weights verify NAME [--clip=FILE [--expect=CLASS]]
```
"""

import argparse
import sys

from keras_vas import command_line, errors, weights
from keras_vas.weights import cache, porting, proofs, registry


def main(arguments):
    """Does what the parsed command line asks for."""
    _COMMANDS[arguments.command](arguments)


def _list(arguments):
    for name, known in registry.REGISTRY.items():
        path = cache.ported_path(name, arguments.cache)
        print(f"{name}: {path if path.is_file() else 'not in the cache'}")
        for field in ("architecture", "origin", "licence", "preprocessing"):
            print(f"    {field}: {getattr(known, field)}")
        print(f"    proof: {known.proof}")
        for number, source in enumerate(known.sources, 1):
            print(f"    source {number}: {registry.cited(source)}")


def _fetch(arguments):
    path = weights.fetch(arguments.name, arguments.cache)
    _report(arguments.name, path)


def _port(arguments):
    path = weights.port(
        arguments.file, arguments.to, arguments.cache, arguments.replace
    )
    _report(arguments.to, path)


def _report(name, path):
    known = registry.lookup(name)
    ported = porting.read(path, known.architecture)
    print(f"{name}: {len(ported.arrays)} arrays in {path}")
    origin = next(
        (x for x in known.sources if ported.sha256 in (x.sha256, x.md5)), None
    )
    if origin is None:
        print(f"from {ported.source}, a file that the registry does not know")
    else:
        print(f"from {ported.source}, known as {origin.location}")


def _verify(arguments):
    known = registry.lookup(arguments.name)
    path = cache.ported_path(arguments.name, arguments.cache)
    if not path.is_file():
        raise errors.UserError(
            f"{arguments.name} is not in the cache ({path}); fetch or port it"
        )
    ported = porting.read(path, known.architecture)
    for line in proofs.verify(
        ported, arguments.clip, arguments.expect, arguments.cache
    ):
        print(line, flush=True)


_COMMANDS = {"list": _list, "fetch": _fetch, "port": _port, "verify": _verify}


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m keras_vas.weights",
        description="Pretrained weights: lists, fetches, ports, proves them.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--cache",
        help=f"folder of the cache, instead of ${cache.VARIABLE} or "
        f"{cache.folder()}",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", parents=[common], help="all, with sources")
    fetch = commands.add_parser(
        "fetch", parents=[common], help="download and port"
    )
    fetch.add_argument("name")
    port = commands.add_parser("port", parents=[common], help="port a file")
    port.add_argument("file", help="file, folder, or address of a Hub module")
    port.add_argument("--to", required=True, help="name of the weights")
    port.add_argument(
        "--replace", action="store_true", help="write over others so named"
    )
    verify = commands.add_parser("verify", parents=[common], help="prove them")
    verify.add_argument("name")
    verify.add_argument("--clip", help="video to classify")
    verify.add_argument("--expect", type=int, help="class that it shows")
    return parser


if __name__ == "__main__":
    parsed = _parser().parse_args()
    del sys.argv[1:]
    command_line.run(lambda _: main(parsed))
