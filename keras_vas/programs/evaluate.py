r"""Evaluates a trained run by the protocol of the paper.

    python evaluate.py --workdir=RUN --data=RECORDS --split=test --output=OUT

Prints the numbers beside the paper's, at the protocol's threshold 0.5 and, in
the same pass, at the run's calibrated one, and writes OUT/metrics.json,
OUT/samples.csv, OUT/samples.png and OUT/pictures/.

    python evaluate.py --benchmark=ref_davis17 --workdir=RUN --data=DIR \
        --output=OUT

segments every frame of whole videos instead, prints J, F and J&F, and writes
OUT/metrics.json, OUT/sequences.csv, OUT/sentences.csv, OUT/pictures/, and the
masks as OUT/submission/ and OUT/submission.zip, in the layout of the
benchmark's server. DIR is the data set itself (tfrecords/README.md draws it);
for a2d and jhmdb, its records. --score_only judges masks that lie in
OUT/submission, or in --masks, without a model.
"""

import tensorflow as tf
from absl import flags

from keras_vas import command_line, errors, presets
from keras_vas.data import frame_size, records
from keras_vas.evaluation import dense, protocol
from keras_vas.evaluation import report as evaluation_report
from keras_vas.presence import score as presence_score
from keras_vas.programs import evaluate_benchmark
from keras_vas.runs import run as run_directory

_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Run directory written by train.py, a preset, a .keras file, or the "
    "address of a file: https://HOST/FILE#sha256=HEX, hf://USER/MODEL or "
    "kaggle://... Not needed for --score_only.",
)
_DATA = flags.DEFINE_string(
    "data",
    None,
    "Folder with the records, or with the data set of --benchmark.",
    required=True,
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "test"], "Split of the records to evaluate."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the results.", required=True
)
_WHICH = flags.DEFINE_enum(
    "which", "best", ["best", "last"], "Checkpoint of the run to evaluate."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 8, "Samples in a batch of all devices.", lower_bound=1
)
_HEIGHT = flags.DEFINE_integer(
    "height", None, "Height of the model's frames; by default the run's."
)
_WIDTH = flags.DEFINE_integer(
    "width", None, "Width of the model's frames; by default the run's."
)
_SKIP_CORRUPT = flags.DEFINE_boolean(
    "skip_corrupt",
    False,
    "Leave out corrupt records, and videos or frames that are listed and not "
    "there, and name them.",
)
_BENCHMARK = flags.DEFINE_enum(
    "benchmark",
    None,
    list(dense.BENCHMARKS),
    "Data set whose whole videos are evaluated by J, F and J&F.",
)
_BENCHMARK_SPLIT = flags.DEFINE_string(
    "benchmark_split",
    None,
    "Split of --benchmark, such as valid, valid_u or train; by default the "
    "one that is usually reported (test for a2d and jhmdb).",
)
_WRITE_MASKS = flags.DEFINE_boolean(
    "write_masks",
    True,
    "With --benchmark, segment every frame and write the masks; else the "
    "frames whose truth is known.",
)
_SCORE_ONLY = flags.DEFINE_boolean(
    "score_only",
    False,
    "With --benchmark, judge masks that were written before, without a model.",
)
_MASKS = flags.DEFINE_string(
    "masks",
    None,
    "Folder of the masks for --score_only; by default OUT/submission.",
)


def main(_):
    """Runs the evaluation that the flags describe."""
    if _SCORE_ONLY.value and not _BENCHMARK.value:
        raise errors.UserError("--score_only needs --benchmark; name one")
    if not _WORKDIR.value and not _SCORE_ONLY.value:
        raise errors.UserError(
            "--workdir is needed; name a run directory, a preset or a .keras "
            "file"
        )
    if _BENCHMARK.value:
        evaluate_benchmark.evaluate(
            _BENCHMARK.value,
            _DATA.value,
            _OUTPUT.value,
            split=_BENCHMARK_SPLIT.value,
            model=None if _SCORE_ONLY.value else _WORKDIR.value,
            which=_WHICH.value,
            masks=_MASKS.value,
            write_masks=_WRITE_MASKS.value,
            skip_corrupt=_SKIP_CORRUPT.value,
        )
        return
    index = records.read_index(
        _DATA.value, _SPLIT.value, skip_corrupt=_SKIP_CORRUPT.value
    )
    for corrupt in index.corrupt:
        print(f"left out: {corrupt.key} in {corrupt.shard}: {corrupt.reason}")
    run = presets.run_of(_WORKDIR.value)
    run_flags = run_directory.read_config(run)["flags"]
    height = _HEIGHT.value or run_flags["frame_height"]
    width = _WIDTH.value or run_flags["frame_width"]
    try:
        frame_size.check_size(height, width)
    except ValueError as error:
        raise errors.UserError(str(error)) from error
    protocol.check_output(_OUTPUT.value)
    strategy = tf.distribute.get_strategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        strategy = tf.distribute.MirroredStrategy()
    if _BATCH_SIZE.value % strategy.num_replicas_in_sync:
        raise errors.UserError(
            f"--batch_size={_BATCH_SIZE.value} does not divide among "
            f"{strategy.num_replicas_in_sync} devices; give a multiple of it"
        )
    with strategy.scope():
        model, vocabulary, _ = run_directory.load_run(run, _WHICH.value)
    calibration = presence_score.Calibration.load(run)
    report = protocol.evaluate(
        model,
        vocabulary,
        index,
        _OUTPUT.value,
        height=height,
        width=width,
        batch_size=_BATCH_SIZE.value,
        strategy=strategy,
        threshold=calibration.threshold if calibration.calibrated else None,
        about={"workdir": _WORKDIR.value, "checkpoint": _WHICH.value},
    )
    print(evaluation_report.table(report, model))
    for line in report["sentence_warnings"]:
        print(line)
    if report["unknown_word_samples"]:
        print(
            "with words that the model does not know: "
            + command_line.counted(report["unknown_word_samples"], "sample")
        )
    print(
        f"written to {_OUTPUT.value}: metrics.json, samples.csv, samples.png, "
        "overlay.mp4, pictures/; look at samples.png first"
    )


def run():
    """Runs the program."""
    command_line.run(main)


if __name__ == "__main__":
    run()
