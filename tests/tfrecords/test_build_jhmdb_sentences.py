import csv
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import scipy.io

from keras_vas import errors
from keras_vas.data import records
from keras_vas.data.records import schema, video_frames

HEIGHT, WIDTH, FRAMES = 24, 32, 20
MASKED = 14


@pytest.fixture(scope="module")
def build(repository):
    sys.path.insert(0, str(repository / "tfrecords"))
    import build_jhmdb_sentences

    yield build_jhmdb_sentences
    sys.path.remove(str(repository / "tfrecords"))


def make_masks(count, size=(HEIGHT, WIDTH)):
    """Body parts (values 1, 2) that move; frame 0 of the array is empty."""
    masks = np.zeros((*size, count), np.uint8)
    for k in range(1, count):
        masks[5:9, k : k + 4, k] = 1
        masks[9:14, k : k + 4, k] = 2
    return masks


class Tree:
    """A data set in the layout of J-HMDB Sentences."""

    def __init__(self, root, videos=("run/one_f_nm", "walk/two")):
        self.root = root
        root.mkdir()
        self.rows = []
        for place in videos:
            images, mat = self.images(place), self.mat(place)
            images.mkdir(parents=True)
            mat.parent.mkdir(parents=True)
            for number in range(1, FRAMES + 1):
                image = np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8)
                cv2.imwrite(str(images / f"{number:05d}.png"), image)
            scipy.io.savemat(mat, {"part_mask": make_masks(MASKED)})
            video_id = place.split("/")[1]
            self.rows.append(f"{video_id},{video_id} runs, to the LEFT ")
        self.write_lists()

    def images(self, place="run/one_f_nm"):
        return self.root / "Rename_Images" / place

    def mat(self, place="run/one_f_nm"):
        return self.root / "puppet_mask" / place / "puppet_mask.mat"

    def write_lists(self):
        text = "\n".join(["video_id,query", *self.rows]) + "\n"
        (self.root / "jhmdb_annotation.txt").write_text(text)


def run_build(build, tree, output, frames_list=None):
    return build.build(
        tree.root, output, frames_list=frames_list, workers=1, shards=2
    )


def all_frames(output):
    index = records.read_index(output, "test")
    frames = [index.read(i) for i in range(len(index))]
    return {(f.video_id, f.frame_number): f for f in frames}


def excluded_items(output):
    with open(output / "excluded.csv", newline="", encoding="utf-8") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def test_frames_masks_and_sentences(build, tmp_path):
    tree = Tree(tmp_path / "source")
    manifest = run_build(build, tree, tmp_path / "out")
    entry = manifest["splits"]["test"]
    assert list(manifest["splits"]) == ["test"]
    counts = [entry[k] for k in ("videos", "frames", "queries", "samples")]
    assert counts == [2, 6, 2, 6]
    assert manifest["excluded"] == {}
    frames = all_frames(tmp_path / "out")
    # 13 frames, 2 to 14, have a mask: the middles of three equal parts.
    assert sorted(frames) == [
        (video_id, number)
        for video_id in ("one_f_nm", "two")
        for number in (4, 8, 12)
    ]
    masks = make_masks(MASKED)
    for (video_id, number), frame in frames.items():
        assert frame.subset == "test"
        assert [q.text for q in frame.queries] == [
            f"{video_id} runs, to the LEFT "
        ]
        assert len(frame.actors) == 1
        np.testing.assert_array_equal(
            frame.actors[0].mask, masks[:, :, number - 1] > 0
        )
        # Images without a mask still belong to the clip.
        expected = np.clip(number + np.arange(-8, 8, 2), 1, FRAMES)
        assert frame.clip_frame_numbers == expected.tolist()
        for n, data in zip(expected, frame.clip, strict=True):
            assert abs(schema.decode_jpeg(data).mean() - 10 * n) < 1


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], []),
        ([5], [5]),
        ([5, 6], [5, 6]),
        ([5, 6, 7], [5, 6, 7]),
        (list(range(1, 41)), [7, 21, 34]),
        (list(range(1, 10)), [2, 5, 8]),
    ],
)
def test_evenly_spaced(numbers, expected):
    assert video_frames.evenly_spaced(numbers, 3) == expected


def write_frames_list(path, frames):
    entries = [
        [
            video_id,
            f"./jhmdb_sentences/Rename_Images/run/{video_id}/{n:05d}.png",
            f"./jhmdb_sentences/puppet_mask/run/{video_id}/puppet_mask.mat",
            FRAMES,
            "a text",
        ]
        for video_id, n in frames
    ]
    path.write_text(json.dumps(entries))
    return path


def test_a_published_list_of_frames(build, tmp_path):
    tree = Tree(tmp_path / "source")
    path = write_frames_list(
        tmp_path / "list.json",
        [("one_f_nm", 9), ("one_f_nm", 3), ("one_f_nm", 19), ("unknown", 1)],
    )
    manifest = run_build(build, tree, tmp_path / "out", path)
    assert manifest["splits"]["test"]["samples"] == 2
    assert sorted(all_frames(tmp_path / "out")) == [
        ("one_f_nm", 3),
        ("one_f_nm", 9),
    ]
    assert excluded_items(tmp_path / "out") == sorted(
        [
            (build.LISTED_WITHOUT_MASK, "one_f_nm/00019"),
            (build.NOT_LISTED, "two"),
            (build.LISTED_WITHOUT_SENTENCE, "unknown"),
        ]
    )


@pytest.mark.parametrize(
    "content", [None, "{", "[1]", '[["v", "no number.png"]]', '[["v"]]']
)
def test_an_unusable_list_of_frames_is_a_user_error(build, tmp_path, content):
    tree = Tree(tmp_path / "source")
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.UserError, match="check --frames_list"):
        run_build(build, tree, tmp_path / "out", path)


def test_a_list_of_other_videos_is_a_user_error(build, tmp_path):
    tree = Tree(tmp_path / "source")
    path = write_frames_list(tmp_path / "list.json", [("other", 1)])
    with pytest.raises(errors.UserError, match="names no video of"):
        run_build(build, tree, tmp_path / "out", path)


def test_the_published_list_of_2784_frames_is_read(build, shared_dir):
    path = shared_dir / "text" / "jhmdb_MTTR_samples_metadata.json"
    frames = build.read_frames_list(path)
    assert len(frames) == 928
    assert sum(map(len, frames.values())) == 2784
    assert frames["100_pullups_pullup_f_nm_np1_fr_med_1"] == [2, 8, 18]
    annotation = shared_dir / "text" / "jhmdb_annotation.txt"
    sentences, excluded = build.read_sentences(annotation)
    assert sentences.keys() == frames.keys()
    assert excluded == []


def break_no_images(tree):
    for path in tree.images().iterdir():
        path.unlink()


def break_no_mat(tree):
    tree.mat().unlink()


def break_mat(tree):
    tree.mat().write_bytes(tree.mat().read_bytes()[:150])


def break_key(tree):
    scipy.io.savemat(tree.mat(), {"mask": make_masks(MASKED)})


def break_shape(tree):
    scipy.io.savemat(tree.mat(), {"part_mask": np.ones((2, 2, 2, 2))})


def break_size(tree):
    scipy.io.savemat(tree.mat(), {"part_mask": make_masks(9, (WIDTH, 40))})


def break_all_empty(tree):
    empty = make_masks(MASKED) * 0
    scipy.io.savemat(tree.mat(), {"part_mask": empty})


def break_image(tree):
    for number in (5, 6, 7):
        (tree.images() / f"{number:05d}.png").write_bytes(b"no PNG")


def break_empty_image(tree):
    (tree.images() / "00006.png").write_bytes(b"")


def break_gap(tree):
    (tree.images() / "00006.png").unlink()


def break_with_a_fifo(tree):
    tree.mat().unlink()
    os.mkfifo(tree.mat())


def break_with_a_large_image(tree):
    image = np.zeros((9000, 9000), np.uint8)
    cv2.imwrite(str(tree.images() / "00006.png"), image)


def break_second_image(tree):
    image = tree.images() / "00006.png"
    image.with_name("6.png").write_bytes(image.read_bytes())


def break_id(tree):
    tree.rows[0] = "../one_f_nm,a sentence"
    tree.write_lists()


def break_row(tree):
    tree.rows[0] = "one_f_nm"
    tree.write_lists()


@pytest.mark.parametrize(
    ("break_it", "reason", "item", "samples"),
    [
        (break_no_images, "MISSING_VIDEO", "one_f_nm", 3),
        (break_no_mat, "MISSING_MASKS", "one_f_nm", 3),
        (break_mat, "UNREADABLE_MASKS", "one_f_nm", 3),
        (break_key, "MASKS_WITHOUT_KEY", "one_f_nm", 3),
        (break_shape, "MASKS_OF_OTHER_SHAPE", "one_f_nm", 3),
        (break_size, "MASKS_OF_OTHER_SIZE", "one_f_nm", 3),
        (break_all_empty, "NO_MASKED_FRAME", "one_f_nm", 3),
        (break_image, "UNDECODABLE_IMAGE", "one_f_nm/00006", 3),
        (break_empty_image, "UNDECODABLE_IMAGE", "one_f_nm/00006", 3),
        (break_gap, "UNDECODABLE_IMAGE", "one_f_nm/00006", 5),
        (break_with_a_fifo, "MISSING_MASKS", "one_f_nm", 3),
        (break_with_a_large_image, "UNDECODABLE_IMAGE", "one_f_nm/00006", 3),
        (break_second_image, "REPEATED_IMAGE", "one_f_nm/6.png", 6),
        (break_id, "UNSAFE_NAME", "../one_f_nm", 3),
        (break_row, "MALFORMED_ROW", "jhmdb_annotation.txt:2", 3),
    ],
)
def test_damaged_sources_are_left_out_and_named(
    build, tmp_path, break_it, reason, item, samples
):
    tree = Tree(tmp_path / "source")
    break_it(tree)
    manifest = run_build(build, tree, tmp_path / "out")
    reason = getattr(build, reason)
    assert manifest["splits"]["test"]["samples"] == samples
    assert (reason, item) in excluded_items(tmp_path / "out")
    assert reason in build.DAMAGE
    assert sum(v == "two" for v, _ in all_frames(tmp_path / "out")) == 3


def test_videos_of_one_and_two_masked_frames(build, tmp_path):
    tree = Tree(tmp_path / "source")
    one = make_masks(2)[:, :, 1]
    # MATLAB drops the last axis of a single frame.
    scipy.io.savemat(tree.mat(), {"part_mask": one})
    scipy.io.savemat(tree.mat("walk/two"), {"part_mask": make_masks(3)})
    manifest = run_build(build, tree, tmp_path / "out")
    assert sorted(all_frames(tmp_path / "out")) == [
        ("one_f_nm", 1),
        ("two", 2),
        ("two", 3),
    ]
    assert manifest["excluded"] == {build.FEW_FRAMES: 3}


def test_several_and_repeated_sentences(build, tmp_path):
    tree = Tree(tmp_path / "source")
    tree.rows += ["two,another", "two,another", "two, ", "one_f_nm,again"]
    tree.write_lists()
    manifest = run_build(build, tree, tmp_path / "out")
    assert manifest["splits"]["test"]["queries"] == 4
    assert manifest["splits"]["test"]["samples"] == 12
    assert excluded_items(tmp_path / "out") == sorted(
        [
            (build.REPEATED_SENTENCE, "two: another"),
            (build.EMPTY_SENTENCE, "two"),
        ]
    )


@pytest.mark.parametrize(
    "missing", [".", "Rename_Images", "puppet_mask", "jhmdb_annotation.txt"]
)
def test_a_missing_part_of_the_tree_is_a_user_error(build, tmp_path, missing):
    tree = Tree(tmp_path / "source")
    (tree.root / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(errors.UserError, match="there is no f") as caught:
        run_build(build, tree, tmp_path / "out")
    assert str(tree.root / missing) in str(caught.value)


def run_program(repository, *arguments):
    return subprocess.run(
        [sys.executable, "tfrecords/build_jhmdb_sentences.py", *arguments],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )


def test_the_program(repository, tmp_path):
    tree = Tree(tmp_path / "source")
    places = [f"--source={tree.root}", f"--output={tmp_path / 'out'}"]
    done = run_program(repository, *places, "--workers=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == ["test", "2", "6", "2", "6"]
    done = run_program(repository, *places, "--check")
    assert done.returncode == 1
    assert "test samples" in done.stdout
    assert "2,784" in done.stdout
    assert "-2,778" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: the counts differ")
    done = run_program(repository, *places, "surplus")
    assert done.returncode == 1
    assert done.stderr.startswith("error: surplus is not a flag")
    done = run_program(repository, places[1])
    assert done.returncode == 1
    assert "source" in done.stderr
    assert "Traceback" not in done.stderr


def test_real_videos(build, shared_dir, tmp_path):
    source = shared_dir / "data" / "jhmdb_sentences"
    manifest = build.build(
        source, tmp_path, frames_list=None, workers=1, shards=1
    )
    frames = all_frames(tmp_path)
    lines = (source / "jhmdb_annotation.txt").read_text().splitlines()[1:]
    texts = dict(line.split(",", 1) for line in lines)
    assert len(frames) == 3 * len(texts) == 15
    assert manifest["excluded"] == {}
    for (video_id, number), frame in frames.items():
        assert frame.queries[0].text == texts[video_id]
        (mat,) = source.glob(f"puppet_mask/*/{video_id}/puppet_mask.mat")
        masks = scipy.io.loadmat(mat)["part_mask"]
        np.testing.assert_array_equal(
            frame.actors[0].mask, masks[:, :, number - 1] > 0
        )
        (path,) = source.glob(f"Rename_Images/*/{video_id}/{number:05d}.png")
        image = cv2.imread(str(path))[:, :, ::-1].copy()
        target = schema.decode_jpeg(frame.clip[schema.TARGET_INDEX])
        assert cv2.PSNR(image, target) > 36
