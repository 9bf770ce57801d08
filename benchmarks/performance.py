"""How fast every runtime is and how the cost grows, as a page and a plot.

    python benchmarks/performance.py --output=docs

Two networks without weights, which time does not depend on: CSTM at full width,
and the shape of the preset cstm_davis. All cases take turns in one process, so
that what disturbs one disturbs all. Writes performance.md, performance.png and
performance.json into the folder.
"""

import os
import pathlib
import platform
import subprocess
import sys

import numpy as np
import runtime_cases
from absl import flags
from matplotlib.figure import Figure

from keras_vas import CSTM, command_line, files
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.presets import preset_file, registry

PRESET = "cstm_davis"
SIZES = ((96, 160), (192, 320), (320, 320), (384, 640))
CLIPS = (1, 2, 4, 8)
SENTENCES = (1, 2, 4, 8, 16, 32)
SECONDS = (10, 60, 600)
AXES = {
    "frame size": ("pixels of a frame", SIZES),
    "clips": ("clips", CLIPS),
    "sentences": ("sentences about one clip", SENTENCES),
}


def preset_arguments():
    """The constructor arguments of the preset's model, as a dict."""
    about, _ = preset_file.read(registry.path_of(PRESET))
    return about["config"]["model"]


def growth(arguments, rounds):
    """Seconds along every axis, for each runtime.

    Args:
        arguments: of `CSTM`.
        rounds: how often each is timed.

    Returns:
        Dict of axis to a list of dicts of `at`, `runtime`, `seconds`.
    """
    vocabulary = Vocabulary(sorted(set(runtime_cases.QUERIES[0].split())))
    model = CSTM(**{**arguments, "vocabulary_size": len(vocabulary)})
    rng = np.random.default_rng(0)
    functions = {}
    for height, width in SIZES:
        middle = (height, width) == SIZES[1]
        clips = rng.integers(
            0, 255, (max(CLIPS), 8, height, width, 3), np.uint8
        )
        segmenters = runtime_cases.segmenters(model, vocabulary, height, width)
        for case, segmenter in segmenters.items():

            def run(number, sentences, segmenter=segmenter, clips=clips):
                text = segmenter.encode(runtime_cases.QUERIES * sentences)
                return lambda: segmenter.run(clips[:number], text)

            key = "/".join(case)
            functions["frame size", height * width, key] = run(1, 1)
            if middle:
                for number in CLIPS:
                    functions["clips", number, key] = run(number, 1)
                for number in SENTENCES:
                    functions["sentences", number, key] = run(1, number)
    taken = runtime_cases.alternating(functions, rounds)
    found = {axis: [] for axis in AXES}
    for (axis, at, runtime), seconds in taken.items():
        found[axis].append({"at": at, "runtime": runtime, "seconds": seconds})
    return found


def memory(longest):
    """Peak MiB of segment.py on videos of some lengths, by seconds."""
    command = [
        sys.executable,
        str(pathlib.Path(__file__).with_name("whole_video.py")),
        "--memory",
        f"--seconds={longest}",
    ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True
    )
    lines = [x.split() for x in done.stdout.splitlines() if " s: peak " in x]
    return {int(line[0]): float(line[3]) for line in lines}


def markdown(found):
    """The page."""
    cases = found["cases"]
    first = next(iter(cases.values()))["seconds"]
    lines = [
        "# Performance",
        "",
        "Written by `make benchmarks`; all cases take turns in one process.",
        "",
        f"Machine: {found['machine']}; load of the minutes before: "
        f"{found['load'][0]:.1f}.",
        "",
        "## One clip, one sentence",
        "",
        "`share` is the rate in multiply-adds as a share of that of a plain "
        "3 x 3 convolution (256 channels, 80 x 80) in the same runtime and "
        "precision.",
        "",
        "| case | s | times | G multiply-adds | share |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {x['seconds']:.3f} | {first / x['seconds']:.2f} | "
        f"{x['gmac']:.1f} | {100 * x['rate_share']:.0f} % |"
        for name, x in cases.items()
    ]
    lines += [
        "",
        "## How the cost grows",
        "",
        f"The network of `{PRESET}`, one clip of {SIZES[1][0]} x "
        f"{SIZES[1][1]} pixels and one sentence where nothing else is said; "
        "seconds.",
        "",
        "![Time against frame size, clips and sentences](performance.png)",
    ]
    for axis, (unit, _) in AXES.items():
        rows = found["growth"][axis]
        runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
        lines += [
            "",
            f"| {unit} | {' | '.join(runtimes)} |",
            "|---|" + "---:|" * len(runtimes),
        ]
        for at in dict.fromkeys(row["at"] for row in rows):
            cells = [f"{r['seconds']:.3f}" for r in rows if r["at"] == at]
            lines.append(f"| {at:,} | {' | '.join(cells)} |")
    peaks = [f"{s} s: {mib:,.0f} MiB" for s, mib in found["memory"].items()]
    lines += [
        "",
        "Peak memory of `segment.py` on videos of two lengths, two sentences, "
        f"every fifth frame: {', '.join(peaks)}.",
        "",
    ]
    return "\n".join(lines)


def plot(growths):
    """One panel for each axis, a line for each runtime."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, len(AXES))
    for panel, (axis, (unit, _)) in zip(panels, AXES.items(), strict=True):
        for runtime in dict.fromkeys(r["runtime"] for r in growths[axis]):
            rows = [r for r in growths[axis] if r["runtime"] == runtime]
            panel.plot(
                [r["at"] for r in rows],
                [r["seconds"] for r in rows],
                "o-",
                label=runtime,
            )
        panel.set_xlabel(unit)
        panel.set_ylabel("seconds")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return figure


def main(_):
    """Measures, and writes the page."""
    rounds = 3
    davis = preset_arguments()
    found = {
        "machine": f"{os.cpu_count()} cores, {_processor()}, "
        f"Python {platform.python_version()}",
        "load": os.getloadavg(),
    }
    full = runtime_cases.measure(rounds)
    small = runtime_cases.measure(
        rounds, f"{PRESET}_192x320", SIZES[1], **davis
    )
    found["cases"] = {**full["cases"], **small["cases"]}
    found["growth"] = growth(davis, rounds)
    found["memory"] = memory(flags.FLAGS.longest)
    output = pathlib.Path(flags.FLAGS.output)
    files.write_json(output / "performance.json", found)
    with files.atomic_path(output / "performance.md") as path:
        path.write_text(markdown(found), encoding="utf-8")
    with files.atomic_path(output / "performance.png") as path:
        plot(found["growth"]).savefig(path, format="png", dpi=120)
    print(markdown(found))


def _processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [x.split(":")[1].strip() for x in lines if "model name" in x]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    flags.DEFINE_string(
        "output", None, "Folder for the page and the plot.", required=True
    )
    flags.DEFINE_integer(
        "longest",
        SECONDS[-1],
        "Seconds of the longest video whose memory counts.",
    )
    command_line.run(main)
