"""An archive on a cluster of three nodes on this machine, whose parts die."""

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import time

import drawn_videos
import patience
import pytest

pytest.importorskip("ray")
pq = pytest.importorskip("pyarrow.parquet")

import archive_model  # noqa: E402

from keras_vas.archive import engine  # noqa: E402
from keras_vas.errors import UserError  # noqa: E402

HELPERS = pathlib.Path(archive_model.__file__).parent


def started(cluster, processors, **options):
    """A new node; on a busy machine it may miss Ray's own limit of 30 s."""
    for attempt in range(3):
        try:
            return cluster.add_node(
                wait=False,
                num_cpus=processors,
                object_store_memory=80 * 2**20,
                **options,
            )
        except Exception as error:
            if attempt == 2 or "timed out" not in str(error):
                raise


@pytest.fixture(scope="module")
def cluster(repository):
    """The `ray.cluster_utils.Cluster`, and its nodes that work."""
    import ray
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", f"{repository}{os.pathsep}{HELPERS}")
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster()
    try:
        started(cluster, 0, include_dashboard=False)
        nodes = [started(cluster, 1) for _ in range(2)]
        engine.connect(cluster.address)
    except Exception as error:
        cluster.shutdown()
        pytest.skip(f"Ray does not start here: {error}")
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()
    patch.undo()


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    for seed, name in enumerate(("a", "b", "c", "slow1", "slow2")):
        drawn_videos.write(folder / f"{name}.mp4", 12, seed=seed)
    drawn_videos.write(folder / "long.mp4", 50)
    return folder


def wait_for(true):
    ends = time.monotonic() + patience.SECONDS
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def both_wait(model):
    """Whether both videos that are held have begun."""
    begun = set(archive_model.calls(model))
    return {"slow1.mp4", "slow2.mp4"} <= begun


def frames(output):
    """Dict of video to the numbers of its frames, as they are in the rows."""
    found = {}
    for path in output.glob("*.parquet"):
        rows = pq.read_table(path)
        name = rows["video"][0].as_py()
        assert name not in found
        found[name] = rows["frame"].to_pylist()[::2]
    return found


def assert_whole(output, names):
    lengths = {"long.mp4": 50}
    assert frames(output) == {
        name: list(range(1, lengths.get(name, 12) + 1)) for name in names
    }
    left = {x.name for x in output.iterdir() if x.suffix != ".parquet"}
    assert left == {"_archive.json"}


def test_no_room(cluster):
    with pytest.raises(UserError, match="no room for a worker of 3 CPUs"):
        engine._room(engine.Pool(cpus=3))
    assert engine._room(engine.Pool(cpus=0.25)) == 8


def test_a_killed_driver_is_gone_on_from(cluster, videos, tmp_path):
    model = archive_model.make(tmp_path / "model")
    output = tmp_path / "out"
    (model / "hold").touch()
    script = HELPERS / "archive_model.py"
    driver = subprocess.Popen(
        [sys.executable, script, cluster[0].address, videos, model, output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    done = [driver.stdout.readline().strip() for _ in range(4)]
    assert sorted(done) == ["a.mp4", "b.mp4", "c.mp4", "long.mp4"], (
        driver.stderr.read() if driver.poll() else ""
    )
    wait_for(lambda: both_wait(model))
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert len(frames(output)) == 4
    before = archive_model.calls(model)
    assert before.count("long.mp4") == 3
    (model / "hold").unlink()
    ended = dict(archive_model.process(videos, model, output, span=20))
    assert set(ended.values()) == {""}
    assert len(ended) == 6
    assert_whole(output, {x.name for x in videos.iterdir()})
    again = archive_model.calls(model)[len(before) :]
    assert sorted(again) == ["slow1.mp4", "slow2.mp4"]


def test_workers_and_a_node_that_die(cluster, videos, tmp_path):
    model = archive_model.make(tmp_path / "model")
    output = tmp_path / "out"
    drawn_videos.write(videos / "poison.mp4", 12)
    (videos / "broken.mp4").write_bytes(b"nothing")
    (model / "die-b.mp4").touch()
    (model / "kill-poison.mp4").touch()
    (model / "hold").touch()

    def lose_a_node():
        import ray

        try:
            own = ray.get_runtime_context().get_node_id()
            other = next(x for x in cluster[1] if x.node_id != own)
            wait_for(lambda: both_wait(model))
            cluster[0].remove_node(other, allow_graceful=False)
        finally:
            (model / "hold").unlink()

    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        lost = beside.submit(lose_a_node)
        ended = {
            source.name: reason
            for source, reason in archive_model.process(
                videos, model, output, span=20
            )
        }
        lost.result()
    reasons = {name: said for name, said in ended.items() if said}
    assert set(reasons) == {"poison.mp4", "broken.mp4"}
    assert reasons["poison.mp4"].startswith("its worker died 3 times")
    assert "holds no video that can be read" in reasons["broken.mp4"]
    assert len(ended) == 8
    assert_whole(output, {x.name for x in videos.iterdir()} - set(reasons))
