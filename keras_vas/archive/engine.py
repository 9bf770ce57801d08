"""Gives spans to workers, by Ray Data."""

import dataclasses
import functools
import importlib.util
import logging
import math
import os
import socket
import urllib.parse
import warnings

from keras_vas.errors import UserError

_OBJECT_STORE = 2**28  # bytes; rows are small
_VIDEOS_OF_A_BLOCK = 16
_ROUNDS = 3
_PORTS = {"ray": 10001, "": 6379}
_ANSWER_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Pool:
    """How many workers there are, and what each of them takes.

    Attributes:
        workers: how many; by default as many as the machine or the cluster
            has room for.
        cpus: processors of a worker, which may be a fraction.
        gpus: graphics processors of a worker, which may be a fraction.

    Raises:
        UserError: a number is out of range.
    """

    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self):
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers={self.workers} must be 1 or more")
        for name in ("cpus", "gpus"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name}={getattr(self, name)} must be 0 up")
        if not self.cpus and not self.gpus:
            raise UserError("a worker takes something: give --cpus or --gpus")


def check_installed():
    """Raises a `UserError` without Ray Data."""
    for name in ("ray", "pyarrow"):
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"{name} is not installed; install it: pip install "
                "'keras_vas[archive]'"
            )


def connect(address=None):
    """Starts Ray on this machine, or connects to a cluster.

    Args:
        address: `None` for this machine; else of a cluster: `"auto"`,
            `"HOST:PORT"` or `"ray://HOST:PORT"`.

    Raises:
        UserError: the cluster does not answer, or has another version.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    options = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE,
                **options,
            )
        except Exception as error:  # what Ray raises, of no class of its own
            raise UserError(
                f"Ray does not start on this machine ({_said(error)}); give "
                "the command again"
            ) from error
        return
    try:
        _check_answer(address)
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the cluster --address={address} does not answer "
            f"({_said(error)}); start it, or leave the address out"
        ) from error


def _said(error):
    """The end of an error of Ray's, which may begin with a whole trace."""
    return " ".join(str(error).split())[-200:] or type(error).__name__


def _check_answer(address):
    """A closed port is found out at once; Ray tries it for minutes."""
    if address == "auto":
        return
    if "://" not in address:
        address = f"//{address}"
    parts = urllib.parse.urlsplit(address)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    socket.create_connection((parts.hostname, port), _ANSWER_SECONDS).close()


def process(sources, settings, folder, pool, load=None):
    """Segments videos; each result is whole or not there.

    Args:
        sources: list of `sources.Source`.
        settings: `settings.Settings`.
        folder: `folder.Folder`, opened.
        pool: `Pool`.
        load: callable of the settings -> `predictor.Predictor`, in a worker.

    Yields:
        `(source, reason)` of each video as it ends, the reason being "" where
        there is a result.

    Raises:
        UserError: a worker has another version or another model, or there is
            no room for one.
    """
    waiting = {}
    for source in sources:
        if folder.result(source.key).exists():
            yield source, ""
        else:
            waiting[source.key] = source
    for _ in range(_ROUNDS):
        if not waiting:
            return
        done, spoilt = {}, set()
        for row in _rows(waiting.values(), settings, folder, pool, load):
            if row["refusal"]:
                raise UserError(row["refusal"])
            key = row["key"]
            if row["reason"]:
                if key not in spoilt:
                    yield waiting[key], row["reason"]
                spoilt.add(key)
                continue
            there = done.setdefault(key, set())
            there.add(row["span"])
            if len(there) == row["spans"] and key not in spoilt:
                folder.finish(key, row["spans"], settings.choice)
                del done[key]
                yield waiting.pop(key), ""
        for key in spoilt:
            del waiting[key]
    for source in waiting.values():
        yield (
            source,
            f"its worker died {_ROUNDS} times (of its memory? of a decoder?)",
        )


def _rows(sources, settings, folder, pool, load):
    """Yields what `worker.Worker` says of each span, as it comes."""
    import ray

    from keras_vas.archive import worker

    workers = pool.workers or _room(pool)
    _set_up()
    load = load or functools.partial(
        worker.load, threads=max(1, math.ceil(pool.cpus))
    )
    videos = [{"key": x.key, "name": x.name, "path": x.path} for x in sources]
    blocks = -(-len(videos) // _VIDEOS_OF_A_BLOCK)
    # Nothing waits behind a long span, or dies with another one's worker.
    actors = ray.data.ActorPoolStrategy(
        size=workers, max_tasks_in_flight_per_actor=1
    )
    found = (
        ray.data.from_items(videos, override_num_blocks=blocks)
        .flat_map(
            worker.plan,
            fn_kwargs={"choice": settings.choice},
            compute=ray.data.TaskPoolStrategy(size=max(1, workers // 2)),
            num_cpus=0,
        )
        .map(
            worker.Worker,
            fn_constructor_args=(settings, folder, load),
            compute=actors,
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
            # There is no other way yet to give up the span of a dead worker,
            # which else waits for its return, or kills it again and again.
            max_restarts=-1,
            max_task_retries=0,
        )
    )
    try:
        for block in found.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        ):
            yield from block.to_pylist()
    except ray.exceptions.RayError as error:
        raise UserError(
            f"Ray ended the work ({_said(error)}); give the command again, "
            "which goes on from here"
        ) from error


def _set_up():
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A span whose worker dies is tried again in the next round.
    context.max_errored_blocks = -1
    # Every span is a block of its own, so that any worker can take it.
    context.target_max_block_size = 1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    for said in ("`ray_remote_args` is dep", "The minimum number of concurr"):
        warnings.filterwarnings("ignore", said)


def _room(pool):
    """How many workers there is room for."""
    import ray

    has = ray.cluster_resources()
    room = min(
        int(has.get(kind, 0) / share + 1e-6)
        for kind, share in (("CPU", pool.cpus), ("GPU", pool.gpus))
        if share
    )
    if not room:
        raise UserError(
            f"there is no room for a worker of {pool.cpus:g} CPUs and "
            f"{pool.gpus:g} GPUs among {has.get('CPU', 0):g} CPUs and "
            f"{has.get('GPU', 0):g} GPUs; give smaller --cpus and --gpus"
        )
    return room
