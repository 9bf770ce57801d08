"""Every row of the paper's table 3, and the choices that it leaves open.

    python benchmarks/ablations.py --output=DIR [--quick] [--study=compared]

Each row is a flagfile of `configs/ablations/`, trained on drawn moving actors
and tested on sentences never seen in training; with `--study=compared`, one
of `configs/compared/`, the systems of the paper's table 1. What is done already
is kept: the same command goes on after an interruption, row by row.

    DIR/records              the clips
    DIR/backbones/NAME-SEED  pretrained without sentences
    DIR/runs/ROW-SEED        a run of train.py, with metrics.json
    DIR/STUDY.md             a table for each part, beside the paper's
    DIR/STUDY.png            the same as a plot

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
from keras_vas.models import registry, summary
from keras_vas.runs import run as run_directory

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "output",
    None,
    "Folder for records, runs and tables, which is made.",
    required=True,
)
flags.DEFINE_enum(
    "study",
    "ablations",
    ["ablations", "compared"],
    "What is trained: the ablations, or the systems that are compared.",
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
# Clips of a split, epochs of a row, steps of a backbone. A backbone has 16
# clips a step, a row 8 with 4 sentences of each.
_FULL = {
    "train": 2400, "test": 200, "epochs": 2, "spatial": 1500, "temporal": 500
}  # fmt: skip
_QUICK = {
    "train": 1800, "test": 100, "epochs": 1, "spatial": 1000, "temporal": 400
}  # fmt: skip
_QUICK_ROWS = {
    "ablations": ("spatial", "temporal", "add", "lgfs", "full"),
    "compared": ("hu", "gavrilyuk", "acga", "cmdy", "cstm"),
}


def main(_):
    """Makes what is missing, then the tables."""
    output = pathlib.Path(FLAGS.output).resolve()
    _check_output(output)
    scale = _QUICK if FLAGS.quick else _FULL
    seeds = range(1 if FLAGS.quick else FLAGS.seeds)
    rows = FLAGS.rows or (
        _QUICK_ROWS[FLAGS.study] if FLAGS.quick else all_rows(FLAGS.study)
    )
    for row in rows:
        if row not in all_rows(FLAGS.study):
            raise errors.UserError(
                f"--rows: there is no {row}; there are "
                + ", ".join(all_rows(FLAGS.study))
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
    print(ablation_tables.write(output, results, FLAGS.study))


def all_rows(study):
    """Names of all flagfiles of a study, in the order of the tables."""
    tables = ablation_tables.STUDIES[study]
    return list(dict.fromkeys(row.name for t in tables for row in t.rows))


def read_results(output):
    """What the finished runs of a folder have reached.

    Args:
        output: `pathlib.Path`.

    Returns:
        Dict of row name to the list of its seeds' `metrics.json`, each with
        the multiply-adds of a mask.
    """
    results = {}
    for path in sorted((output / "runs").glob("*/metrics.json")):
        row, _, _ = path.parent.name.rpartition("-")
        results.setdefault(row, []).append(
            {**json.loads(path.read_text()), **_cost(path.parent)}
        )
    return results


def _cost(run):
    """Dict of the multiply-adds of a run's model, counted once."""
    path = run / "cost.json"
    if not path.is_file():
        config = run_directory.read_config(run)
        size = [config["flags"][f"frame_{x}"] for x in ("height", "width")]
        model = registry.from_config(config)
        counted = summary.multiply_adds(summary.count(model, *size))
        path.write_text(json.dumps({"multiply_adds": counted}))
    return json.loads(path.read_text())


def _check_output(output):
    """One folder holds trainings of one length only."""
    mark = output / "ablations.json"
    wanted = {"quick": FLAGS.quick, "study": FLAGS.study}
    if not mark.exists():
        if output.exists() and any(output.iterdir()):
            raise errors.UserError(
                f"--output={output} holds other things; name a new folder"
            )
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(json.dumps(wanted) + "\n")
    made = {"study": "ablations", **json.loads(mark.read_text())}
    if made != wanted:
        raise errors.UserError(
            f"{output} was made with --study={made['study']} and "
            f"--quick={made['quick']}; name a new folder"
        )


def _backbones(row):
    """The backbones that a row needs, by its flagfile."""
    chosen = {
        "model": "cstm",
        "encoders": "both",
        "spatial_backbone": "inception_v3",
        "temporal_backbone": "i3d",
    }
    for line in (_ROOT / _flagfile(row)).read_text().splitlines():
        name, _, value = line.removeprefix("--").partition("=")
        if name in chosen:
            chosen[name] = value
    return [
        chosen[f"{encoder}_backbone"]
        for encoder in ("spatial", "temporal")
        if chosen["encoders"] in (encoder, "both")
        and encoder in registry.model_class(chosen["model"]).parts
    ]


def _flagfile(row):
    return f"configs/{FLAGS.study}/{row}.flags"


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
        ["train.py", f"--flagfile={_flagfile(row)}", data,
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
