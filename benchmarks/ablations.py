"""Every row of the paper's table 3, and the choices that it leaves open.

    python benchmarks/ablations.py --output=DIR [--quick]

Each row is a flagfile of `configs/ablations/`, trained on drawn moving actors
and tested on sentences never seen in training. What is done already is kept:
the same command goes on after an interruption, row by row.

    DIR/records              the clips
    DIR/backbones/NAME-SEED  pretrained without sentences
    DIR/runs/ROW-SEED        a run of train.py, with metrics.json
    DIR/ablations.md         a table for each part, beside the paper's
    DIR/ablations.png        the same as a plot

`--jobs` rows are trained at once, each on its share of the processors.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import ablation_tables
import tqdm
from absl import flags

from keras_vas import command_line, errors

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "output",
    None,
    "Folder for records, runs and tables, which is made.",
    required=True,
)
flags.DEFINE_boolean(
    "quick", False, "One seed, less training: a look, not a measurement."
)
flags.DEFINE_list("rows", [], "Flagfiles to train, without .flags; or all.")
flags.DEFINE_integer(
    "seeds", 3, "How often each row is trained.", lower_bound=1
)
flags.DEFINE_integer(
    "jobs", 2, "Trainings that run at the same time.", lower_bound=1
)

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_CONFIGS = _ROOT / "configs" / "ablations"
# Clips of a split, epochs of a row, steps of a backbone. A backbone has 16
# clips a step, a row 8 with 4 sentences of each.
_FULL = {
    "train": 2400, "test": 200, "epochs": 2, "spatial": 1500, "temporal": 500
}  # fmt: skip
_QUICK = {
    "train": 1800, "test": 100, "epochs": 1, "spatial": 1000, "temporal": 400
}  # fmt: skip
_QUICK_ROWS = ("spatial", "temporal", "add", "lgfs", "full")


def main(_):
    """Makes what is missing, then the tables."""
    output = pathlib.Path(FLAGS.output).resolve()
    _check_output(output)
    scale = _QUICK if FLAGS.quick else _FULL
    seeds = range(1 if FLAGS.quick else FLAGS.seeds)
    rows = FLAGS.rows or (_QUICK_ROWS if FLAGS.quick else all_rows())
    for row in rows:
        if not (_CONFIGS / f"{row}.flags").is_file():
            raise errors.UserError(
                f"--rows: there is no {row}; there are {', '.join(all_rows())}"
            )
    records = output / "records"
    _run(
        ["tfrecords/build_moving_actors.py", f"--output={records}",
         f"--train_clips={scale['train']}", f"--test_clips={scale['test']}",
         "--height=64", "--width=64"],
        output / "logs" / "records.txt",
    )  # fmt: skip
    backbones = sorted({name for row in rows for name in _backbones(row)})
    _in_parallel(
        "backbones",
        [
            (_pretrain, output, name, seed, scale[_encoder(name)])
            for seed in seeds
            for name in backbones
        ],
    )
    _in_parallel(
        "rows",
        [
            (_row, output, row, seed, scale["epochs"])
            for seed in seeds
            for row in rows
        ],
    )
    results = read_results(output)
    print(ablation_tables.write(output, results))


def all_rows():
    """Names of all flagfiles, in the order of the tables."""
    return list(
        dict.fromkeys(
            row.name for table in ablation_tables.TABLES for row in table.rows
        )
    )


def read_results(output):
    """What the finished runs of a folder have reached.

    Args:
        output: `pathlib.Path`.

    Returns:
        Dict of row name to the list of its seeds' `metrics.json`.
    """
    results = {}
    for path in sorted((output / "runs").glob("*/metrics.json")):
        row, _, _ = path.parent.name.rpartition("-")
        results.setdefault(row, []).append(json.loads(path.read_text()))
    return results


def _check_output(output):
    """One folder holds trainings of one length only."""
    mark = output / "ablations.json"
    wanted = {"quick": FLAGS.quick}
    if not mark.exists():
        if output.exists() and any(output.iterdir()):
            raise errors.UserError(
                f"--output={output} holds other things; name a new folder"
            )
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(json.dumps(wanted) + "\n")
    if json.loads(mark.read_text()) != wanted:
        raise errors.UserError(
            f"{output} was made {'without' if FLAGS.quick else 'with'} --quick;"
            " name a new folder"
        )


def _backbones(row):
    """The backbones that a row needs, by its flagfile."""
    chosen = {
        "encoders": "both",
        "spatial_backbone": "inception_v3",
        "temporal_backbone": "i3d",
    }
    for line in (_CONFIGS / f"{row}.flags").read_text().splitlines():
        name, _, value = line.removeprefix("--").partition("=")
        if name in chosen:
            chosen[name] = value
    return [
        chosen[f"{encoder}_backbone"]
        for encoder in ("spatial", "temporal")
        if chosen["encoders"] in (encoder, "both")
    ]


def _pretrain(output, name, seed, steps):
    folder = output / "backbones" / f"{name}-{seed}"
    if (folder / "checkpoints" / "best.npz").is_file():
        return
    _run(
        ["-m", "keras_vas.training.pretrain_backbone", f"--backbone={name}",
         f"--output={folder}", f"--steps={steps}", f"--seed={seed}"],
        output / "logs" / f"{folder.name}.txt",
    )  # fmt: skip


def _encoder(backbone):
    return next(
        encoder
        for encoder, names in ablation_tables.BACKBONES.items()
        if backbone in names
    )


def _row(output, row, seed, epochs):
    run = output / "runs" / f"{row}-{seed}"
    if (run / "metrics.json").is_file():
        return
    log = output / "logs" / f"{run.name}.txt"
    data = f"--data={output / 'records'}"
    backbones = [
        f"--{_encoder(name)}_weights={output / 'backbones' / f'{name}-{seed}'}"
        for name in _backbones(row)
    ]
    _run(
        ["train.py", f"--flagfile=configs/ablations/{row}.flags", data,
         f"--workdir={run}", f"--seed={seed}", f"--epochs={epochs}",
         *backbones],
        log,
    )  # fmt: skip
    _run(
        ["evaluate.py", f"--workdir={run}", data, "--split=test",
         f"--output={run}"],
        log,
    )  # fmt: skip


def _in_parallel(what, tasks):
    with (
        concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool,
        tqdm.tqdm(total=len(tasks), desc=what, unit=what[:-1]) as bar,
    ):
        waiting = [pool.submit(*task) for task in tasks]
        try:
            for done in concurrent.futures.as_completed(waiting):
                done.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _run(command, log):
    """Runs one of our programs; what it prints is added to a log."""
    threads = max(1, (os.cpu_count() or 1) // FLAGS.jobs)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONPATH": str(_ROOT),
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        result = subprocess.run(
            [sys.executable, *command],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    if result.returncode:
        raise errors.UserError(
            f"{' '.join(command[:2])} has failed; the reason is at the end of "
            f"{log}"
        )


if __name__ == "__main__":
    command_line.run(main)
