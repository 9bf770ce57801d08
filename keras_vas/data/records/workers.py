"""Writing shards in several processes."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading

import tqdm

from keras_vas import errors
from keras_vas.data.records import shard as shard_files

_MAX_DEFAULT_WORKERS = 8


def default_workers():
    """Processes that a converter uses unless told: the cores, at most 8.

    A process holds about 100 MB, so that eight stay well under 1.5 GB.
    """
    return min(len(os.sched_getaffinity(0)), _MAX_DEFAULT_WORKERS)


def write_shards(plan, convert, workers, progress):
    """Writes the shards of a plan that an earlier run did not finish.

    Args:
        plan: list of `shard.Shard`.
        convert: picklable callable (video id, split) -> `shard.Conversion`.
        workers: number of processes; 1 works in the calling process.
        progress: show a progress bar.

    Returns:
        List of the shards' summaries, in the order of the plan.

    Raises:
        UserError: a worker died.
    """
    kept = {shard.name: shard.finished() for shard in plan}
    waiting = [shard for shard in plan if kept[shard.name] is None]
    bar = tqdm.tqdm(
        total=sum(len(shard.video_ids) for shard in plan),
        initial=sum(
            len(shard.video_ids) for shard in plan if shard not in waiting
        ),
        desc="converting",
        unit="video",
        disable=not progress,
        smoothing=0.05,
    )
    with bar:
        if workers == 1:
            new = {
                shard.name: shard_files.write(shard, convert, _counting(bar))
                for shard in waiting
            }
        else:
            new = _write_in_processes(waiting, convert, workers, bar)
    return [kept[shard.name] or new[shard.name] for shard in plan]


def _counting(bar):
    """A report function for `shard_files.write` that moves a progress bar."""
    begun = [False]

    def report_video(video_id):
        bar.update(int(begun[0]))
        begun[0] = video_id is not None

    return report_video


def _write_in_processes(waiting, convert, workers, bar):
    # TensorFlow and video decoders hold threads: never fork them.
    context = multiprocessing.get_context("spawn")
    # A simple queue is written at once: the last word of a worker that dies
    # is not lost.
    reports, stop = context.SimpleQueue(), context.Event()
    executor = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(waiting)) or 1,
        mp_context=context,
        initializer=_start_worker,
        initargs=(convert, reports, stop),
    )
    at_work = {}
    try:
        pending = {executor.submit(_write_in_worker, s) for s in waiting}
        summaries = {}
        while pending:
            done, pending = concurrent.futures.wait(
                pending, 0.2, concurrent.futures.FIRST_COMPLETED
            )
            _follow(reports, at_work, bar)
            for future in done:
                summary = future.result()
                summaries[summary["name"]] = summary
        return summaries
    except concurrent.futures.process.BrokenProcessPool as error:
        _follow(reports, at_work, bar)
        raise errors.UserError(
            "a worker process died, for lack of memory or in a decoder, while "
            f"these videos were converted: {', '.join(at_work.values())}; "
            "start again with fewer --workers (finished shards are kept)"
        ) from error
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)
        _follow(reports, at_work, bar)


def _follow(reports, at_work, bar):
    while not reports.empty():
        process, video_id = reports.get()
        if at_work.pop(process, None) is not None:
            bar.update()
        if video_id is not None:
            at_work[process] = video_id


def _start_worker(convert, reports, stop):
    global _worker
    _worker = (convert, reports, stop)
    # Ctrl-C is the parent's affair, and its death is the worker's end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _write_in_worker(shard):
    convert, reports, stop = _worker

    def report_video(video_id):
        if stop.is_set():
            raise shard_files.StoppedError
        reports.put((os.getpid(), video_id))

    return shard_files.write(shard, convert, report_video)
