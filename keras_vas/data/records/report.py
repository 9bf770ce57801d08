"""What a converter says at its end."""

import csv
import pathlib

from keras_vas import errors
from keras_vas.data.records import shard as shard_files

_COLUMNS = ("videos", "frames", "queries", "samples")


def summary(manifest):
    """Counts per split and exclusions by reason, as text of some lines."""
    lines = [f"{'':8}" + "".join(f"{name:>10}" for name in _COLUMNS)]
    for split, counts in manifest["splits"].items():
        numbers = "".join(f"{counts[name]:>10,}" for name in _COLUMNS)
        lines.append(f"{split:8}{numbers}")
    if not manifest["excluded"]:
        return "\n".join([*lines, "excluded: nothing"])
    lines.append(f"excluded (each one is named in {shard_files.EXCLUDED}):")
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


def conclude(output, manifest, *, damage, skip_damaged, published):
    """Prints the end report and raises if something was not as it should be.

    Args:
        output: folder of the records.
        manifest: of the data set.
        damage: the reasons for an exclusion that mean a damaged source, as
            opposed to gaps that the data set is known to have.
        skip_damaged: whether the user accepts damaged sources.
        published: counts to compare with as `comparison` takes them, or None.

    Raises:
        UserError: damaged sources (the records of all others are complete),
            or counts that differ.
    """
    print(summary(manifest))
    equal = True
    if published:
        text, equal = comparison(manifest, published)
        print(text)
    print(f"records in {output}")
    found = [reason for reason in manifest["excluded"] if reason in damage]
    if found and not skip_damaged:
        raise _damage_error(pathlib.Path(output), manifest, found)
    if not equal:
        raise errors.UserError(
            "the counts differ from the published ones; compare --source with "
            "the layout in tfrecords/README.md"
        )


def _damage_error(output, manifest, reasons):
    path = output / shard_files.EXCLUDED
    with open(path, newline="", encoding="utf-8") as file:
        items = [row for row in csv.reader(file) if row[0] in reasons]
    reason, item = items[0]
    total = sum(manifest["excluded"][reason] for reason in reasons)
    return errors.UserError(
        f"{total} damaged source(s), the first: {item}: {reason} (all in "
        f"{path}); the rest is converted: mend them and start again, or "
        "accept the loss with --skip_damaged"
    )
