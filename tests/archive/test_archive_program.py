"""python -m keras_vas.archive as a user runs it, on this machine alone."""

import os
import subprocess
import sys

import drawn_videos
import numpy as np
import pytest
import small_run
from pycocotools import mask as coco

pytest.importorskip("ray")
pq = pytest.importorskip("pyarrow.parquet")

SENTENCES = ["the bright square", "a zebra"]


def run(repository, *words):
    return subprocess.run(
        [sys.executable, "-m", "keras_vas.archive", *map(str, words)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )


def test_an_archive_of_two_videos(repository, tmp_path):
    from keras_vas.prediction import predictor

    model = small_run.make(tmp_path / "run")
    drawn_videos.write(tmp_path / "videos" / "a.mp4", 24)
    drawn_videos.write(tmp_path / "videos" / "sub" / "b.mp4", 10, seed=1)
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"nothing")
    names = ["videos/a.mp4", "videos/sub/b.mp4", "videos/bad.mp4", "gone.mp4"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    (tmp_path / "s.txt").write_text("\n".join(SENTENCES))
    out = tmp_path / "out"
    flags = (
        f"--model={model}", f"--videos={tmp_path / 'list.txt'}",
        f"--sentences={tmp_path / 's.txt'}", f"--output={out}",
        "--runtime=tensorflow", "--workers=1", "--span=12", "--cpus=0.5",
    )  # fmt: skip
    done = run(repository, *flags)
    first, second, last = done.stdout.splitlines()
    assert first.startswith("run (CSTM): ")
    assert second == "It does not know: zebra."
    assert last.startswith(f"2 of 4 videos in {out}, after ")
    assert "left out: gone.mp4: there is no video " in done.stderr
    assert "bad.mp4 holds no video that can be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 2 videos left out; ")
    assert done.returncode == 1
    left_out = (out / "_left_out.csv").read_text().splitlines()
    assert len(left_out) == 3
    assert left_out[1].startswith("gone.mp4,")
    rows = pq.read_table(out).to_pylist()
    loaded = predictor.load(model)
    for name in names[:2]:
        expected = loaded.segment(tmp_path / name, SENTENCES)
        found = [x for x in rows if x["video"] == name]
        assert len(found) == 2 * len(expected)
        for i, row in enumerate(found):
            frame, sentence = divmod(i, 2)
            assert row["frame"] == expected.numbers[frame]
            assert row["sentence"] == SENTENCES[sentence]
            mask = expected.mask(frame)[sentence]
            # Spans make other batches, and those other roundings.
            assert (coco.decode(row["rle"]) != mask).mean() < 0.002
            np.testing.assert_allclose(
                row["score"], expected.scores[frame, sentence], atol=1e-5
            )
    done = run(repository, "report", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"6 of 6 moments in {out / 'report.html'}\n"
    refused = run(repository, *flags, "--every=2")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        f"error: {out} holds results of other choices (--every); give the "
        "same, or name a new --output"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sentences": "gone.txt"}, "there is no file gone.txt of sentences"),
        ({"every": 0}, "every=0 must be 1 up"),
        ({"cpus": -1}, "cpus=-1.0 must be 0 up"),
        ({"address": "ray://127.0.0.1:1"}, "does not answer"),
    ],
)
def test_bad_input_is_one_line(repository, tmp_path, change, said):
    video = drawn_videos.write(tmp_path / "a.mp4", 2)
    (tmp_path / "s.txt").write_text("a dog")
    flags = {
        "model": "moving_actors",
        "videos": video,
        "sentences": tmp_path / "s.txt",
        "output": tmp_path / "out",
        **change,
    }
    done = run(repository, *(f"--{k}={v}" for k, v in flags.items()))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (tmp_path / "out").exists()
