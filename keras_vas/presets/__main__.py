"""Lists the presets.

python -m keras_vas.presets list
"""

import argparse
import sys

from keras_vas import command_line
from keras_vas.presets import registry


def main():
    """Prints the card of every preset."""
    for name, preset in registry.PRESETS.items():
        size = registry.path_of(name).stat().st_size / 1e6
        print(f"{name} ({size:.1f} MB)")
        for line in preset.lines():
            print(f"    {line}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m keras_vas.presets",
        description="Trained models that the package ships.",
    )
    parser.add_argument("command", choices=["list"])
    parser.parse_args()
    del sys.argv[1:]
    command_line.run(lambda _: main())
