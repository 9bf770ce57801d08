r"""What many workers would do with many videos: discrete events.

    python benchmarks/archive_scale.py --archive=OUT --videos=1000000 \
        --workers=1,10,100,1000

Each task takes as long as one that an archive recorded in OUT, drawn by lot,
times --faster. A worker has one task at a time: when it is done, it waits for
the driver, which serves one worker after the other, --driver_ms each.
"""

import heapq
import pathlib

import numpy as np
from absl import flags

from keras_vas import command_line
from keras_vas.errors import UserError

_ARCHIVE = flags.DEFINE_string(
    "archive", None, "Folder of an archive, whose times are taken.",
    required=True,
)  # fmt: skip
_VIDEOS = flags.DEFINE_integer(
    "videos", 1_000_000, "How many videos there are.", lower_bound=1
)
_WORKERS = flags.DEFINE_list(
    "workers", ["1", "10", "100", "1000"], "Numbers of workers to try."
)
_FASTER = flags.DEFINE_float(
    "faster", 1.0, "How much faster a worker is than the recorded one.",
    lower_bound=1e-3,
)  # fmt: skip
_DRIVER_MS = flags.DEFINE_float(
    "driver_ms", 10.0, "Milliseconds that a task takes of the driver.",
    lower_bound=0,
)  # fmt: skip
_START_SECONDS = flags.DEFINE_float(
    "start_seconds", 30.0, "Until a worker has loaded its model, at most.",
    lower_bound=0,
)  # fmt: skip


def main(_):
    """Prints a table of workers, hours, rates and use."""
    from keras_vas.archive import table

    paths = sorted(pathlib.Path(_ARCHIVE.value).glob("*.parquet"))
    if not paths:
        raise UserError(f"{_ARCHIVE.value} holds no results; name an archive")
    videos = [table.about(path)["seconds"] for path in paths]
    spans = sum(map(len, videos)) / len(videos)
    seconds = np.concatenate(videos) / _FASTER.value
    tasks = round(_VIDEOS.value * spans)
    driver = _DRIVER_MS.value / 1000
    print(
        f"{len(seconds):,} recorded tasks, {spans:.2f} a video, mean "
        f"{seconds.mean():.2f} s; the driver takes {1000 * driver:g} ms each: "
        f"it is full at {seconds.mean() / max(driver, 1e-9) + 1:,.0f} workers"
    )
    print(" workers     hours  videos/s  of the workers' time")
    for workers in map(int, _WORKERS.value):
        ended, busy = simulate(
            seconds, tasks, workers, driver, _START_SECONDS.value
        )
        print(
            f"{workers:8,}{ended / 3600:10,.1f}"
            f"{_VIDEOS.value / ended:10,.1f}{busy:9.1%}"
        )


def simulate(seconds, tasks, workers, driver, start, seed=0):
    """Runs tasks through workers that one driver serves.

    Args:
        seconds: array of recorded times of tasks.
        tasks: how many there are.
        workers: how many there are.
        driver: seconds of the driver for a task.
        start: seconds within which workers begin, evenly.
        seed: of what is drawn by lot.

    Returns:
        `(ended, busy)`: seconds until the last task is done; the share of
        the workers' time in which they worked.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.choice(seconds, tasks).tolist()
    asking = [start * (i + 1) / workers for i in range(workers)]
    heapq.heapify(asking)
    free = ended = 0.0
    for duration in drawn:
        free = max(free, asking[0]) + driver
        ended = max(ended, free + duration)
        heapq.heapreplace(asking, free + duration)
    return ended, sum(drawn) / (ended * workers)


if __name__ == "__main__":
    command_line.run(main)
