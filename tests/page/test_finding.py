"""What a visitor asks for, and what is shown of it."""

import base64
import types

import cv2
import numpy as np
import pytest

from keras_vas.errors import UserError
from keras_vas.page import finding, fragments, samples, stored_clip
from keras_vas.page.limits import Limits
from keras_vas.page.visitors import Visitor
from keras_vas.page.visits import Visits

LIMITS = Limits(side=96)
ANN = Visitor("ann", "10.0.0.1")


def test_sentences_are_lines():
    text = "  the dog \n\n\tthe\tcat\n"
    assert finding.sentences(text, LIMITS) == ["the dog", "the cat"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Type a sentence"),
        (" \n ", "Type a sentence"),
        (None, "Type a sentence"),
        ("a\n" * 7, "7 sentences are too many; give at most 6"),
        ("a" * 201, "has 201 letters"),
    ],
)
def test_sentences_that_cannot_be_used(text, words):
    with pytest.raises(UserError, match=words):
        finding.sentences(text, LIMITS)


def test_one_thing_is_done_for_a_visit_at_a_time(tmp_path):
    visit = Visits(tmp_path, LIMITS).open(ANN, "1")
    with (
        finding.work(visit),
        pytest.raises(UserError, match="still being worked on"),
        finding.work(visit),
    ):
        pass
    with finding.work(visit):
        visit.end()
        visit.folder.mkdir()  # what the work still wrote
    assert not visit.folder.exists()


def test_word_attention_is_brightest_where_a_word_fits_best():
    maps = np.full((2, 8, 16), -30.0, np.float32)
    maps[0, :4, :4] = maps[1, 4:, 12:] = -20.0
    picture = np.full((64, 128, 3), 128, np.uint8)
    text = fragments.attention(["<b>", "dog"], maps, picture)
    assert "<b>" not in text
    shown = [
        cv2.imdecode(
            np.frombuffer(base64.b64decode(part.split('"')[0]), np.uint8),
            cv2.IMREAD_GRAYSCALE,
        )
        for part in text.split("base64,")[1:]
    ]
    height, width = shown[0].shape
    corners = [
        (x[5, 5] > x.mean() + 50, x[height - 6, width - 6] > x.mean() + 50)
        for x in shown
    ]
    assert corners == [(True, False), (False, True)]


class Slow:
    """A predictor that finds everything everywhere, at probability 1."""

    def __init__(self, threshold=0.5):
        self.threshold = threshold

    def stream(self, video, queries, every):
        for frame in video:
            yield types.SimpleNamespace(
                number=frame.number,
                time_seconds=frame.time_seconds,
                frame=frame.image,
                probabilities=np.ones((len(queries), *frame.image.shape[:2])),
                scores=np.ones(len(queries), np.float32),
            )


@pytest.fixture
def visit(tmp_path):
    visit = Visits(tmp_path / "visits", LIMITS).open(ANN, "1")
    frames = ((i / 10, np.full((32, 32, 3), i, np.uint8)) for i in range(4))
    folder = visit.new_folder()
    stored_clip.write(folder, frames, 10.0, LIMITS)
    visit.show(stored_clip.StoredClip(folder, "drawn"))
    return visit


def test_a_new_result_takes_the_place_of_the_old_one(visit):
    for sentence in ("one", "two"):
        list(finding.find(Slow(), visit, [sentence], 1))
    assert visit.result.found.queries == ("two",)
    names = {path.name for path in visit.folder.iterdir()}
    assert names == {visit.clip.folder.name, visit.result.id}


@pytest.mark.parametrize(("threshold", "share"), [(0.9, 1), (1.0, 0)])
def test_masks_are_above_the_threshold_of_the_model(visit, threshold, share):
    list(finding.find(Slow(threshold), visit, ["one"], 1))
    assert visit.result.found.masks.mean() == share


@pytest.mark.parametrize("how", ["stopped", "closed"])
def test_work_that_is_stopped_leaves_nothing(visit, monkeypatch, how):
    monkeypatch.setattr(finding, "_REPORT_SECONDS", 0.0)
    work = finding.find(Slow(), visit, ["one"], 1)
    assert next(work).done == 1
    setattr(visit, how, True)
    assert list(work) == []
    assert visit.result is None
    assert [x.name for x in visit.folder.iterdir()] == [visit.clip.folder.name]


def test_another_clip_removes_the_files_of_the_last(visit, tmp_path):
    list(finding.find(Slow(), visit, ["one"], 1))
    other = samples.draw(tmp_path / "samples", LIMITS)[0].clip
    visit.show(other)
    assert visit.result is None
    assert list(visit.folder.iterdir()) == []
    visit.show(other)
    visit.end()
    assert other.image(1).size  # samples belong to all


def test_a_failure_is_told_and_not_hidden():
    pytest.importorskip("gradio")
    from keras_vas.page.handlers import _reporting

    @_reporting
    def handler():
        raise RuntimeError("broken")

    shown = handler()
    assert 'role="alert">The page has failed' in next(shown)[0]
    with pytest.raises(RuntimeError, match="broken"):
        next(shown)
