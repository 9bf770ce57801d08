"""What the programs build_*.py share: their flags, and what they say."""

import csv
import pathlib

from absl import flags

from keras_vas import errors
from keras_vas.data import records
from keras_vas.data.records.manifest import EXCLUDED

_COLUMNS = ("videos", "frames", "queries", "samples")


def define_flags():
    """Defines the flags of every converter."""
    flags.DEFINE_string(
        "output", None, "Folder to write the records to.", required=True
    )
    flags.DEFINE_integer(
        "workers",
        records.default_workers(),
        "Processes that convert; the records do not depend on their number.",
        lower_bound=1,
    )
    flags.DEFINE_bool(
        "verify",
        None,
        "Read complete records again and compare their checksums, to mend "
        "what is damaged; by default up to 4 GiB.",
    )


def define_source_flags(dataset, shards, published=True):
    """Defines the flags of every converter that reads a data set.

    Args:
        dataset: its name, for the help.
        shards: int, files per split unless told.
        published: whether there are counts for --check.
    """
    define_flags()
    flags.DEFINE_string(
        "source", None, f"Folder that holds {dataset}.", required=True
    )
    flags.DEFINE_integer(
        "shards", shards, "Files that a split is divided into.", lower_bound=1
    )
    if published:
        flags.DEFINE_bool(
            "check",
            False,
            "Compare the counts with the published ones; exit status 1 if "
            "they differ.",
        )
    flags.DEFINE_bool(
        "skip_damaged",
        False,
        "Accept that damaged sources are left out: exit status 0.",
    )


def summary(manifest):
    """Counts per split and exclusions by reason, as text of some lines."""
    lines = [f"{'':8}" + "".join(f"{name:>10}" for name in _COLUMNS)]
    for split, counts in manifest["splits"].items():
        numbers = "".join(f"{counts[name]:>10,}" for name in _COLUMNS)
        lines.append(f"{split:8}{numbers}")
    if not manifest["excluded"]:
        return "\n".join([*lines, "excluded: nothing"])
    lines.append(f"excluded (each one is named in {EXCLUDED}):")
    for reason, count in manifest["excluded"].items():
        lines.append(f"{count:>10,}  {reason}")
    return "\n".join(lines)


def comparison(manifest, published):
    """Compares the counts with the published ones.

    Args:
        manifest: of the data set.
        published: dict from split to a dict from "videos", "frames",
            "queries" or "samples" to the published count.

    Returns:
        (text of some lines, whether all are equal).
    """
    lines = [f"{'':18}{'here':>10}{'published':>11}{'difference':>12}"]
    equal = True
    for split, counts in published.items():
        for name, expected in counts.items():
            here = manifest["splits"].get(split, {}).get(name, 0)
            difference = f"{here - expected:+,}" if here != expected else "0"
            lines.append(
                f"{split + ' ' + name:18}{here:>10,}{expected:>11,}"
                f"{difference:>12}"
            )
            equal = equal and here == expected
    return "\n".join(lines), equal


def conclude(manifest, damage=frozenset(), published=None):
    """Prints the end report and raises if something was not as it should be.

    Args:
        manifest: of the data set in --output.
        damage: the reasons for an exclusion that mean a damaged source, as
            opposed to gaps that the data set is known to have.
        published: counts for --check, as `comparison` takes them.

    Raises:
        UserError: damaged sources (the records of all others are complete),
            or counts that differ.
    """
    options = flags.FLAGS
    print(summary(manifest))
    equal = True
    if published and options.check:
        text, equal = comparison(manifest, published)
        print(text)
    print(
        f"records in {options.output}; next: python train.py "
        f"--flagfile=configs/NAME.flags --data={options.output} --workdir=RUN"
    )
    found = [reason for reason in manifest["excluded"] if reason in damage]
    if found and not options.skip_damaged:
        raise _damage_error(pathlib.Path(options.output), manifest, found)
    if not equal:
        raise errors.UserError(
            "the counts differ from the published ones; compare --source with "
            "the layout in tfrecords/README.md"
        )


def _damage_error(output, manifest, reasons):
    path = output / EXCLUDED
    with open(path, newline="", encoding="utf-8") as file:
        items = [row for row in csv.reader(file) if row[0] in reasons]
    reason, item = items[0]
    total = sum(manifest["excluded"][reason] for reason in reasons)
    return errors.UserError(
        f"{total} damaged source(s), the first: {item}: {reason} (all in "
        f"{path}); the rest is converted: mend them and start again, or "
        "accept the loss with --skip_damaged"
    )
