"""Tables and plot of the ablations, the paper's rows beside ours."""

import dataclasses
import statistics

from matplotlib.figure import Figure

from keras_vas.files import atomic_path

BACKBONES = {
    "spatial": ("inception_v3", "resnet50"),
    "temporal": ("i3d", "s3d"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: flagfile in `configs/ablations/`.
        label: what the row is.
        paper: the paper's AP, overall IoU and mean IoU, or None.
    """

    name: str
    label: str
    paper: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A part of table 3, or an open choice."""

    key: str
    title: str
    rows: tuple


_ADD = (34.5, 62.2, 51.7)
_LGFS = (36.0, 62.8, 52.9)
_WHOLE = (39.9, 66.2, 56.1)
TABLES = (
    Table(
        "3a",
        "Components",
        (
            Row("spatial", "spatial", (29.0, 56.7, 47.7)),
            Row("temporal", "temporal", (28.1, 58.2, 48.2)),
            Row("add", "both", _ADD),
            Row("lgfs", "both, LGFS", _LGFS),
            Row("full", "both, LGFS, CMAM", _WHOLE),
        ),
    ),
    Table(
        "3b",
        "Fusion of spatial and temporal features, without CMAM",
        (
            Row("add", "add", _ADD),
            Row("max", "max", (34.8, 62.6, 51.6)),
            Row("lgfs", "LGFS", _LGFS),
        ),
    ),
    Table(
        "3c",
        "Stages with a CMAM",
        (
            Row("cmam_5", "5", (36.9, 63.1, 53.3)),
            Row("cmam_54", "5, 4", (38.5, 65.2, 55.0)),
            Row("cmam_543", "5, 4, 3", (39.0, 65.4, 55.6)),
            Row("cmam_5432", "5, 4, 3, 2", (39.4, 65.9, 55.7)),
            Row("full", "5, 4, 3, 2, 1", _WHOLE),
        ),
    ),
    Table(
        "3d",
        "Backbones",
        (
            Row("resnet50_s3d", "ResNet-50, S3D", (38.5, 67.1, 55.1)),
            Row("resnet50_i3d", "ResNet-50, I3D", (39.5, 66.4, 56.4)),
            Row("inception_v3_s3d", "Inception V3, S3D", (38.3, 66.7, 55.0)),
            Row("full", "Inception V3, I3D", _WHOLE),
        ),
    ),
    Table(
        "loss",
        "Open choice: the loss",
        (
            Row("loss_bce", "BCE"),
            Row("loss_focal", "focal"),
            Row("full", "BCE and Dice"),
        ),
    ),
    Table(
        "gate",
        "Open choice: the gate",
        (
            Row("gate_residual", "V + V * gate"),
            Row("full", "V + V * (gate - 1/2), zero at first"),
        ),
    ),
    Table(
        "coordinates",
        "Open choice: coordinates and features",
        (
            Row("fusion_conv", "a convolution, as table 4 implies"),
            Row("full", "linear"),
        ),
    ),
    Table(
        "sentence",
        "Open choice: the sentence of the decoder",
        (
            Row("sentence_last", "last word"),
            Row("full", "mean of the words, section 3.3"),
        ),
    ),
)

# The numbers are those of A2D Sentences, of each system's own paper or, for
# the first two, of Gavrilyuk et al.'s.
COMPARED = Table(
    "1",
    "The systems of tables 1 and 2",
    (
        Row("hu", "Hu et al.", (13.2, 47.4, 35.0)),
        Row("li", "Li et al.", (16.3, 51.5, 35.4)),
        Row("gavrilyuk", "Gavrilyuk et al., RGB", (19.8, 53.6, 42.1)),
        Row("gavrilyuk_flow", "Gavrilyuk et al., flow", (21.5, 55.1, 42.6)),
        Row("acga", "ACGA", (27.4, 60.1, 49.0)),
        Row("vt_capsule", "VT-Capsule, a variant", (30.3, 56.8, 46.0)),
        Row("cmdy", "CMDy", (33.3, 62.3, 53.1)),
        Row("cstm", "CSTM", _WHOLE),
    ),
)
STUDIES = {"ablations": TABLES, "compared": (COMPARED,)}

# Heading, and where the number is in metrics.json.
COLUMNS = {
    "look-alike": lambda m: m["lookalike_choice_accuracy"],
    "any actor": lambda m: m["choice_accuracy"],
    "IoU if right": lambda m: m["mean_iou_chosen"],
    "P@0.5": lambda m: m["precision_at"]["0.5"],
    "P@0.7": lambda m: m["precision_at"]["0.7"],
    "P@0.9": lambda m: m["precision_at"]["0.9"],
    "AP": lambda m: m["ap"],
    "overall": lambda m: m["overall_iou"],
    "mean": lambda m: m["mean_iou"],
}
# Heading, how it is written, and the number.
COSTS = {
    "G": ("{:.2f}", lambda m: m["multiply_adds"] / 1e9),
    "s a mask": ("{:.3f}", lambda m: 1 / m["samples_per_second"]),
}
PAPER_COLUMNS = ("AP", "overall", "mean")


def write(output, results, study="ablations"):
    """Writes `STUDY.md` and `STUDY.png`.

    Args:
        output: `pathlib.Path` of the folder.
        results: dict of row name to the `metrics.json` of its seeds, each
            with `multiply_adds`.
        study: one of `STUDIES`.

    Returns:
        The text of `STUDY.md`.
    """
    text = markdown(results, STUDIES[study])
    with atomic_path(output / f"{study}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic_path(output / f"{study}.png") as temporary:
        plot(results, STUDIES[study]).savefig(temporary, format="png", dpi=120)
    return text


def markdown(results, tables):
    """The tables as Markdown.

    Args:
        results: as of `write`.
        tables: tuple of `Table`.

    Returns:
        Text; percent, mean over seeds, with their range in parentheses.
    """
    parts = [
        "Percent on test clips of moving actors: the mean of the seeds, and "
        "in parentheses the distance from the lowest to the highest. "
        "*look-alike*: how often the IoU with the target is above that with "
        "its twin; *any actor*: above that with any other; *IoU if right*: "
        "mean IoU of these. *G*: multiply-adds of a mask in 10^9; *s a mask*: "
        "seconds for a mask in the test. The paper's numbers are of A2D "
        "Sentences.\n"
    ]
    for table in tables:
        rows = [row for row in table.rows if row.name in results]
        if len(rows) < 2:
            continue
        paper = [f"paper: {name}" for name in PAPER_COLUMNS]
        has_paper = any(row.paper for row in rows)
        heads = ["", *COLUMNS, *COSTS, *(paper if has_paper else []), "seeds"]
        parts.append(f"### {table.key}: {table.title}\n")
        parts.append("| " + " | ".join(heads) + " |")
        parts.append("|---|" + "---:|" * (len(heads) - 1))
        for row in rows:
            metrics = results[row.name]
            cells = [_cell(metrics, read) for read in COLUMNS.values()]
            for form, read in COSTS.values():
                cells.append(form.format(statistics.mean(map(read, metrics))))
            if has_paper:
                cells += [f"{value:.1f}" for value in row.paper]
            parts.append(
                f"| {row.label} | " + " | ".join(cells) + f" | {len(metrics)} |"
            )
        parts.append("")
    return "\n".join(parts)


def plot(results, tables):
    """One panel for each table, a point for each seed.

    Args:
        results: as of `write`.
        tables: tuple of `Table`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    tables = [
        table
        for table in tables
        if sum(row.name in results for row in table.rows) > 1
    ]
    figure = Figure(
        figsize=(11, 0.9 + 1.9 * max(1, len(tables))), layout="constrained"
    )
    panels = figure.subplots(max(1, len(tables)), 3, squeeze=False)
    shown = ("look-alike", "IoU if right", "mean")
    for table, line in zip(tables, panels, strict=False):
        rows = [row for row in table.rows if row.name in results]
        for name, panel in zip(shown, line, strict=True):
            for y, row in enumerate(reversed(rows)):
                values = _values(results[row.name], COLUMNS[name])
                panel.plot(values, [y] * len(values), "o", color="tab:blue")
                panel.plot(
                    [statistics.mean(values)] if values else [],
                    [y] if values else [],
                    "|",
                    color="black",
                    markersize=14,
                )
            labels = [row.label for row in reversed(rows)]
            if name != shown[0]:
                labels = [""] * len(rows)
            panel.set_yticks(range(len(rows)), labels)
            panel.set_ylim(-0.6, len(rows) - 0.4)
            panel.grid(axis="x", alpha=0.3)
            panel.set_title(f"{table.key}: {name} (%)", fontsize=9)
    return figure


def _values(metrics, read):
    found = [read(each) for each in metrics]
    return [100 * value for value in found if value is not None]


def _cell(metrics, read):
    values = _values(metrics, read)
    if not values:
        return "-"
    spread = max(values) - min(values)
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({spread:.1f})"
