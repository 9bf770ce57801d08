import csv
import json
import os
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest

from keras_vas import errors
from keras_vas.data import records
from keras_vas.data.records import schema

HEIGHT, WIDTH, FRAMES = 48, 80, 30


@pytest.fixture(scope="module")
def build(repository):
    sys.path.insert(0, str(repository / "tfrecords"))
    import build_a2d_sentences

    yield build_a2d_sentences
    sys.path.remove(str(repository / "tfrecords"))


def write_video(path, frames=FRAMES, size=(HEIGHT, WIDTH)):
    """A video whose frame k is grey of level 20 + 7 k."""
    codec = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), codec, 24, size[::-1])
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(np.full((*size, 3), 20 + 7 * number, np.uint8))
    writer.release()


def box(top, left, size=(HEIGHT, WIDTH)):
    mask = np.zeros(size, bool)
    mask[top : top + 5, left : left + 9] = True
    return mask


def write_masks(path, instances, masks, keys=("instance", "reMask")):
    """Masks in MATLAB's order; one mask stands without a first axis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.array([mask.T for mask in masks], np.uint8)
    boxes = np.zeros((4, len(masks)))
    if len(masks) == 1:
        stored, boxes = stored[0], boxes[:, 0]
    with h5py.File(path, "w") as file:
        values = (np.array(instances, float), stored)
        for name, value in zip(keys, values, strict=True):
            file[name] = value
        file["reBBox"] = boxes


class Tree:
    """A data set in the layout of A2D Sentences."""

    def __init__(self, root):
        self.root = root
        self.videos, self.rows, self.missed = [], [], []
        self.clips = root / "Release" / "clips320H"
        self.texts = root / "text_annotations"
        self.masks = self.texts / "a2d_annotation_with_instances"
        self.clips.mkdir(parents=True)
        self.masks.mkdir(parents=True)

    def add(self, video_id, subset, rows, frames):
        """Adds a video; `frames` is {number: (instances, masks)}."""
        self.videos.append((video_id, subset))
        self.rows += [f"{video_id},{instance},{t}" for instance, t in rows]
        write_video(self.clips / f"{video_id}.mp4")
        for number, (instances, masks) in frames.items():
            path = self.masks / video_id / f"{number:05d}.h5"
            write_masks(path, instances, masks)

    def write_lists(self):
        (self.root / "Release" / "videoset.csv").write_text(
            "".join(
                f"{v},11,0,0,{HEIGHT},{WIDTH},{FRAMES},3,{subset}\n"
                for v, subset in self.videos
            )
        )
        (self.texts / "a2d_annotation.txt").write_text(
            "video_id,instance_id,query\n" + "\n".join(self.rows) + "\n",
            encoding="utf-8",
        )
        # As distributed: no newline at the end.
        (self.texts / "a2d_missed_videos.txt").write_text(
            "\n".join(self.missed)
        )


def fabricate(root):
    """Every trap of the format, and nothing that is damaged."""
    tree = Tree(root)
    tree.add(
        "--dashed",
        0,
        [(1, "a dog on the left "), (2, "Müller's bright cat, red")],
        {1: ([1, 2], [box(3, 4), box(30, 60)]), 29: ([2], [box(8, 50)])},
    )
    tree.add(
        "-one",
        1,
        [(7, "single"), ("1 (copy)", "bird standing in the beach")],
        {15: ([7], [box(0, 71)])},
    )
    tree.add(
        "twice",
        1,
        [(1, "two parts"), (1, "two parts"), (3, "empty"), (3, " ")],
        {
            10: (
                [1, 3, 1, 5],
                [box(1, 1), box(0, 0) & False, box(9, 40), box(20, 20)],
            ),
            20: ([3], [box(0, 0) & False]),
        },
    )
    tree.add("missed", 0, [(1, "not annotated")], {5: ([1], [box(1, 1)])})
    tree.missed = ["missed", "also_missed"]
    tree.videos.append(("silent", 1))
    tree.write_lists()
    return tree


def run_build(build, tree, output, workers=1):
    return build.build(tree.root, output, workers=workers, shards=2)


def excluded_items(output):
    with open(output / "excluded.csv", newline="", encoding="utf-8") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


@pytest.fixture(scope="module")
def converted(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("a2d")
    tree = fabricate(folder / "source")
    output = folder / "records"
    return run_build(build, tree, output), output


def all_frames(output):
    frames = {}
    for split in records.read_manifest(output)["splits"]:
        index = records.read_index(output, split)
        for i in range(len(index)):
            frame = index.read(i)
            assert frame.subset == split
            frames[frame.video_id, frame.frame_number] = frame
    return frames


def test_counts_and_exclusions(build, converted):
    manifest, output = converted
    counts = {
        split: [entry[k] for k in ("videos", "frames", "queries", "samples")]
        for split, entry in manifest["splits"].items()
    }
    assert counts == {"train": [1, 2, 2, 3], "test": [2, 2, 2, 2]}
    no_instance, empty = build.INSTANCE_NOT_IN_FRAME, build.EMPTY_MASK
    copy = build.INSTANCE_NOT_A_NUMBER
    assert excluded_items(output) == sorted(
        [
            (no_instance, "--dashed/00029.h5/1: a dog on the left "),
            (no_instance, "twice/00020.h5/1: two parts"),
            (empty, "twice/00010.h5/3: empty"),
            (empty, "twice/00020.h5/3: empty"),
            (copy, "-one/1 (copy): bird standing in the beach"),
            (build.REPEATED_SENTENCE, "twice/1: two parts"),
            (build.REPEATED_INSTANCE, "twice/00010.h5/1"),
            (build.EMPTY_SENTENCE, "twice/3:  "),
            (build.MISSED_VIDEO, "missed"),
            (build.WITHOUT_SENTENCE, "silent"),
        ]
    )
    assert manifest["excluded"][build.EMPTY_MASK] == 2
    assert sum(manifest["excluded"].values()) == 10


def test_sentences_and_masks_travel_unchanged(converted):
    frames = all_frames(converted[1])
    samples = {
        (*key, query.text): (
            frame.actors[query.actor].id,
            frame.actors[query.actor].mask,
        )
        for key, frame in frames.items()
        for query in frame.queries
    }
    expected = {
        ("--dashed", 1, "a dog on the left "): ("1", box(3, 4)),
        ("--dashed", 1, "Müller's bright cat, red"): ("2", box(30, 60)),
        ("--dashed", 29, "Müller's bright cat, red"): ("2", box(8, 50)),
        ("-one", 15, "single"): ("7", box(0, 71)),
        ("twice", 10, "two parts"): ("1", box(1, 1) | box(9, 40)),
    }
    assert samples.keys() == expected.keys()
    for key, (actor, mask) in expected.items():
        assert samples[key][0] == actor
        np.testing.assert_array_equal(samples[key][1], mask)


def test_actors_without_a_sentence_are_kept_and_empty_ones_are_not(converted):
    frame = all_frames(converted[1])["twice", 10]
    assert [actor.id for actor in frame.actors] == ["1", "5"]
    np.testing.assert_array_equal(frame.actors[1].mask, box(20, 20))


def test_clips_hold_the_frames_that_they_name(converted):
    frames = all_frames(converted[1])
    assert len(frames) == 4
    expected_numbers = {
        ("--dashed", 1): [1, 1, 1, 1, 1, 3, 5, 7],
        ("--dashed", 29): [21, 23, 25, 27, 29, 30, 30, 30],
        ("-one", 15): [7, 9, 11, 13, 15, 17, 19, 21],
        ("twice", 10): [2, 4, 6, 8, 10, 12, 14, 16],
    }
    for key, frame in frames.items():
        assert frame.clip_frame_numbers == expected_numbers[key]
        assert (frame.height, frame.width) == (HEIGHT, WIDTH)
        for number, data in zip(
            frame.clip_frame_numbers, frame.clip, strict=True
        ):
            image = schema.decode_jpeg(data)
            assert image.shape == (HEIGHT, WIDTH, 3)
            # Frames differ by 7 levels.
            assert abs(image.mean() - (20 + 7 * number)) < 3


def test_bytes_do_not_depend_on_workers(build, repository, tmp_path):
    tree = fabricate(tmp_path / "source")
    run_build(build, tree, tmp_path / "one")
    done = run_program(
        repository, tree.root, tmp_path / "two", "--workers=2", "--shards=2"
    )
    assert done.returncode == 0, done.stderr
    ones = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(ones) == 7
    for name in ones:
        one = (tmp_path / "one" / name).read_bytes()
        assert (tmp_path / "two" / name).read_bytes() == one, name


def run_program(repository, source, output, *arguments):
    return subprocess.run(
        [
            sys.executable,
            "tfrecords/build_a2d_sentences.py",
            f"--source={source}",
            f"--output={output}",
            *arguments,
        ],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )


def break_truncated_video(tree):
    path = tree.clips / "broken.mp4"
    path.write_bytes(path.read_bytes()[:300])


def break_missing_video(tree):
    (tree.clips / "broken.mp4").unlink()


def break_short_video(tree):
    write_video(tree.clips / "broken.mp4", frames=9)


def break_no_keys(tree):
    path = tree.masks / "broken" / "00010.h5"
    write_masks(path, [1], [box(1, 1)], keys=("instance", "mask"))


def break_not_hdf5(tree):
    (tree.masks / "broken" / "00010.h5").write_bytes(b"not HDF5")


def break_other_size(tree):
    path = tree.masks / "broken" / "00010.h5"
    write_masks(path, [1], [box(1, 1, (WIDTH, HEIGHT))])


def break_other_count(tree):
    path = tree.masks / "broken" / "00010.h5"
    write_masks(path, [1, 2, 3], [box(1, 1), box(2, 2)])


def break_with_a_fifo(tree):
    path = tree.masks / "broken" / "00010.h5"
    path.unlink()
    os.mkfifo(path)


def break_with_a_huge_array(tree):
    with h5py.File(tree.masks / "broken" / "00010.h5", "w") as file:
        file["instance"] = np.array([1.0])
        file.create_dataset("reMask", (2**20, 2**20), np.uint8)


def break_numbers(tree):
    write_masks(tree.masks / "broken" / "00010.h5", [np.inf], [box(1, 1)])


def break_second_file(tree):
    write_masks(tree.masks / "broken" / "10.h5", [1], [box(1, 1)])
    (tree.masks / "broken" / "00010.h5").write_bytes(b"not HDF5")


def break_with_a_play_list(tree):
    (tree.clips / "broken.mp4").write_text(
        "ffconcat version 1.0\nfile good.mp4\n"
    )


def break_id(tree):
    tree.videos += [("/etc", 0), ("a\0b", 0)]
    tree.rows += ["/etc,1,a sentence", "a\0b,1,a sentence"]
    (tree.masks / "broken" / "00010.h5").write_bytes(b"not HDF5")


def break_file_name(tree):
    folder = tree.masks / "broken"
    (folder / "00010.h5").rename(folder / "ten.h5")


def break_no_masks(tree):
    (tree.masks / "broken" / "00010.h5").unlink()


def break_videoset(tree):
    tree.videos.remove(("broken", 0))


def break_row(tree):
    tree.rows.remove("broken,1,a sentence")
    tree.rows.append("broken,1")


@pytest.mark.parametrize(
    ("break_it", "reason", "item"),
    [
        (break_truncated_video, "UNDECODABLE_VIDEO", "broken"),
        (break_missing_video, "MISSING_VIDEO", "broken"),
        (break_short_video, "SHORT_VIDEO", "broken/00010.h5"),
        (break_no_keys, "MASKS_WITHOUT_KEYS", "broken/00010.h5"),
        (break_not_hdf5, "UNREADABLE_MASKS", "broken/00010.h5"),
        (break_other_size, "MASKS_OF_OTHER_SIZE", "broken/00010.h5"),
        (break_other_count, "MASKS_OF_OTHER_SHAPE", "broken/00010.h5"),
        (break_with_a_fifo, "UNREADABLE_MASKS", "broken/00010.h5"),
        (break_with_a_huge_array, "UNREADABLE_MASKS", "broken/00010.h5"),
        (break_numbers, "MASKS_OF_OTHER_SHAPE", "broken/00010.h5"),
        (break_second_file, "REPEATED_FRAME", "broken/10.h5"),
        (break_with_a_play_list, "UNDECODABLE_VIDEO", "broken"),
        (break_id, "UNSAFE_NAME", "/etc"),
        (break_id, "UNSAFE_NAME", "a\0b"),
        (break_file_name, "NO_FRAME_NUMBER", "broken/ten.h5"),
        (break_no_masks, "WITHOUT_MASKS", "broken"),
        (break_videoset, "UNKNOWN_VIDEO", "broken"),
        (break_row, "MALFORMED_ROW", "a2d_annotation.txt:3"),
    ],
)
def test_damaged_sources_are_left_out_and_named(
    build, tmp_path, break_it, reason, item
):
    tree = Tree(tmp_path / "source")
    for video_id in ("good", "broken"):
        tree.add(video_id, 0, [(1, "a sentence")], {10: ([1], [box(1, 1)])})
    break_it(tree)
    tree.write_lists()
    manifest = run_build(build, tree, tmp_path / "out")
    assert manifest["splits"]["train"]["samples"] == 1
    assert list(all_frames(tmp_path / "out")) == [("good", 10)]
    reason = getattr(build, reason)
    assert reason in build.DAMAGE
    assert (reason, item) in excluded_items(tmp_path / "out")
    damage = set(manifest["excluded"]) & build.DAMAGE
    assert reason in damage
    assert len(damage) <= 2


def test_the_program_reports_damage_and_accepts_it_on_demand(
    repository, tmp_path
):
    tree = fabricate(tmp_path / "source")
    (tree.clips / "twice.mp4").write_bytes(b"no video")
    done = run_program(repository, tree.root, tmp_path / "out", "--workers=1")
    assert done.returncode == 1
    errors_seen = [
        line for line in done.stderr.splitlines() if "video/s" not in line
    ]
    last = errors_seen[-1]
    assert last.startswith("error: 1 damaged source(s), the first: twice: ")
    assert "cannot be decoded" in last
    assert "Traceback" not in done.stderr
    assert "moov" not in done.stderr
    assert "         1  video that cannot be decoded" in done.stdout
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["splits"]["test"]["samples"] == 1
    done = run_program(
        repository,
        tree.root,
        tmp_path / "out",
        "--workers=1",
        "--skip_damaged",
        "--check",
    )
    assert done.returncode == 1
    assert "train samples" in done.stdout
    assert "15,691     -15,688" in done.stdout
    assert "differ from the published ones" in done.stderr
    done = run_program(
        repository,
        tree.root,
        tmp_path / "out",
        "--workers=1",
        "--skip_damaged",
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    "missing",
    [
        ".",
        "Release",
        "Release/clips320H",
        "Release/videoset.csv",
        "text_annotations/a2d_annotation.txt",
        "text_annotations/a2d_annotation_with_instances",
    ],
)
def test_a_missing_part_of_the_tree_is_a_user_error(build, tmp_path, missing):
    tree = fabricate(tmp_path / "source")
    (tree.root / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(errors.UserError, match="there is no f") as caught:
        run_build(build, tree, tmp_path / "out")
    assert str(tree.root / missing) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_a_user_error(build, tmp_path):
    with pytest.raises(errors.UserError, match="is empty"):
        build.build(tmp_path, tmp_path / "out", workers=1, shards=1)


def test_the_other_name_of_the_clips_folder(build, tmp_path):
    tree = fabricate(tmp_path / "source")
    tree.clips.rename(tree.clips.with_name("CLIPS320"))
    manifest = run_build(build, tree, tmp_path / "out")
    assert manifest["splits"]["train"]["samples"] == 3


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("Release/videoset.csv", "a,b\n", "line 1, must have 9 columns"),
        ("Release/videoset.csv", "v,1,0,0,4,5,6,3,2\n", "last 0 "),
        (
            "Release/videoset.csv",
            "v,1,0,0,4,5,6,3,0\nv,1,0,0,4,5,6,3,1\n",
            "v is in both subsets",
        ),
        ("text_annotations/a2d_annotation.txt", "", "must begin with"),
        ("text_annotations/a2d_annotation.txt", "a,b,c\n", "must begin with"),
        ("text_annotations/a2d_annotation.txt", b"\xff\xfe", "no UTF-8 text"),
    ],
)
def test_a_list_of_another_format_is_a_user_error(
    build, tmp_path, path, content, message
):
    tree = fabricate(tmp_path / "source")
    if isinstance(content, str):
        content = content.encode()
    (tree.root / path).write_bytes(content)
    with pytest.raises(errors.UserError, match=message):
        run_build(build, tree, tmp_path / "out")


def test_a_missed_list_in_other_letters_is_a_user_error(build, tmp_path):
    tree = fabricate(tmp_path / "source")
    path = tree.texts / "a2d_missed_videos.txt"
    path.write_text("missed", encoding="utf-16")
    with pytest.raises(errors.UserError, match=r"missed_videos.*no UTF-8 text"):
        run_build(build, tree, tmp_path / "out")


def test_a_missing_missed_list_is_no_error(build, tmp_path):
    tree = fabricate(tmp_path / "source")
    (tree.texts / "a2d_missed_videos.txt").unlink()
    manifest = run_build(build, tree, tmp_path / "out")
    assert manifest["splits"]["train"]["samples"] == 4


def test_real_videos(build, shared_dir, tmp_path):
    """Four real videos; the counts are derived from the files here."""
    source = shared_dir / "data" / "a2d_sentences"
    tree = tmp_path / "source"
    texts = tree / "text_annotations"
    texts.mkdir(parents=True)
    real_texts = source / "text_annotations"
    for name in ("a2d_missed_videos.txt", "a2d_annotation_with_instances"):
        (texts / name).symlink_to(real_texts / name)
    (tree / "Release").mkdir()
    clips = source / "Release" / "clips320H"
    (tree / "Release" / "clips320H").symlink_to(clips)
    listed = (source / "Release" / "videoset.csv").read_text().splitlines()
    chosen = [listed[0], listed[-1], listed[40], listed[100]]
    names = [line.split(",")[0] for line in chosen]
    (tree / "Release" / "videoset.csv").write_text("\n".join(chosen))
    lines = (real_texts / "a2d_annotation.txt").read_text().splitlines()
    rows = [line for line in lines[1:] if line.split(",")[0] in names]
    (texts / "a2d_annotation.txt").write_text("\n".join([lines[0], *rows]))
    masks = texts / "a2d_annotation_with_instances"
    expected = set()
    for row in rows:
        video_id, instance, text = row.split(",", 2)
        for path in (masks / video_id).glob("*.h5"):
            with h5py.File(path) as file:
                if int(instance) in file["instance"][:].ravel():
                    expected.add((video_id, int(path.stem), text))
    manifest = build.build(tree, tmp_path / "out", workers=1, shards=1)
    frames = all_frames(tmp_path / "out")
    found = {
        (*key, query.text)
        for key, frame in frames.items()
        for query in frame.queries
    }
    assert found == expected
    assert len(found) > 20
    assert manifest["excluded"] == {}
    for (video_id, number), frame in frames.items():
        capture = cv2.VideoCapture(str(clips / f"{video_id}.mp4"))
        for _ in range(number):
            image = capture.read()[1]
        capture.release()
        target = schema.decode_jpeg(frame.clip[schema.TARGET_INDEX])
        # Neighbouring frames of these videos are under 30 dB apart.
        assert cv2.PSNR(image[:, :, ::-1].copy(), target) > 36
