"""Moving actors: what the clips promise, measured on the pixels and texts."""

import collections
import re

import numpy as np
import pytest

from keras_vas.data.moving_actors import drawing, language
from keras_vas.data.records import schema

CLIPS = 300
TURNS = {
    "move left": (-1, 0),
    "move right": (1, 0),
    "move up": (0, -1),
    "move down": (0, 1),
}


@pytest.fixture(scope="module")
def clips():
    return {
        split: [drawing.draw_clip(7, split, i) for i in range(CLIPS)]
        for split in language.SPLITS
    }


@pytest.fixture(scope="module")
def lone_tracks():
    """Tracks of each action, drawn from the same random numbers."""
    return {
        action: np.stack(
            [
                drawing._track(
                    np.random.default_rng(seed), action, (50, 40), 12, 1.0
                )
                for seed in range(50)
            ]
        )
        for action in language.ACTIONS
    }


def words_of(text):
    return re.findall("[a-z]+", text)


def test_same_arguments_give_same_bytes():
    first = drawing.draw_clip(3, "train", 11)
    second = drawing.draw_clip(3, "train", 11)
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.masks, second.masks)
    assert first.sentences == second.sentences


@pytest.mark.parametrize("other", [(4, "train", 11), (3, "test", 11)])
def test_other_seed_or_split_gives_another_clip(other):
    clip = drawing.draw_clip(3, "train", 11)
    assert np.any(clip.frames != drawing.draw_clip(*other).frames)


def test_shapes_and_types(clips):
    clip = drawing.draw_clip(0, "test", 0, height=80, width=128)
    for one, size in ((clip, (80, 128)), (clips["train"][0], (96, 96))):
        assert one.frames.shape == (schema.CLIP_LENGTH, *size, 3)
        assert one.frames.dtype == np.uint8
        assert one.masks.shape == (4, *size)
        assert one.masks.dtype == bool


def test_splits_share_no_triple():
    train, test = (set(language.triples(s)) for s in ("train", "test"))
    looks, actions = len(language.LOOKS), len(language.ACTIONS)
    assert (looks, actions) == (36, 8)
    assert not train & test
    assert len(train) + len(test) == looks * actions * len(language.FORMS)
    assert 0.17 < len(test) / (len(train) + len(test)) < 0.23


def test_sentences_of_the_splits_share_no_triple(clips):
    used = {
        split: {
            (sentence.look, sentence.action, sentence.form)
            for clip in clips[split]
            for sentence in clip.sentences
        }
        for split in clips
    }
    assert len(used["train"]) > 800
    assert len(used["test"]) > 400
    assert not used["train"] & used["test"]


def test_no_text_is_in_both_splits(clips):
    texts = {
        split: {s.text for clip in clips[split] for s in clip.sentences}
        for split in clips
    }
    assert len(texts["train"]) > 900
    assert not texts["train"] & texts["test"]


def test_splits_need_the_same_words_and_forms(clips):
    words = {
        split: {
            word
            for clip in clips[split]
            for sentence in clip.sentences
            for word in words_of(sentence.text)
        }
        for split in clips
    }
    assert len(words["test"]) > 50
    assert words["test"] <= words["train"]
    for split in clips:
        forms = {s.form for clip in clips[split] for s in clip.sentences}
        assert forms == set(range(len(language.FORMS)))


def test_every_actor_has_a_twin_and_a_rival(clips):
    checked = 0
    for clip in clips["train"] + clips["test"]:
        pairs = list(zip(clip.looks, clip.actions, strict=True))
        assert len(set(pairs)) == len(pairs) == 4
        for look, action in pairs:
            assert sum(x == look for x, _ in pairs) == 2
            assert sum(x == action for _, x in pairs) == 2
            checked += 1
    assert checked == 8 * CLIPS


def test_sentences_name_their_actor_and_no_other(clips):
    wordings = {
        action: [text for texts in pair for text in texts]
        for action, pair in language.ACTIONS.items()
    }
    checked = collections.Counter()
    for split in clips:
        for clip in clips[split]:
            assert clip.sentences[0].actor == 0
            actors = [sentence.actor for sentence in clip.sentences]
            assert len(set(actors)) == len(actors)
            for sentence in clip.sentences:
                fitting = [
                    actor
                    for actor in range(4)
                    if set(clip.looks[actor].split())
                    <= set(words_of(sentence.text))
                    and any(
                        text in sentence.text
                        for text in wordings[clip.actions[actor]]
                    )
                ]
                assert fitting == [sentence.actor]
                checked[split] += 1
    assert checked["train"] == 4 * CLIPS
    assert checked["test"] > 3.3 * CLIPS


def test_no_wording_holds_another():
    texts = [
        (action, text)
        for action, pair in language.ACTIONS.items()
        for kind in pair
        for text in kind
    ]
    assert len(texts) == 8 * 6
    for action, text in texts:
        assert not any(
            f" {text} " in f" {other} "
            for other_action, other in texts
            if other_action != action
        )


def test_mirrored_words_mirror_the_action():
    swap = {"left": "right", "leftwards": "rightwards"}
    for left, right in zip(
        language.ACTIONS["move left"],
        language.ACTIONS["move right"],
        strict=True,
    ):
        mirrored = [
            " ".join(swap.get(word, word) for word in text.split())
            for text in left
        ]
        assert mirrored == list(right)
    others = " ".join(
        text
        for action, pair in language.ACTIONS.items()
        if action not in ("move left", "move right")
        for kind in pair
        for text in kind
    )
    assert not {"left", "right", "leftwards", "rightwards"} & set(
        others.split()
    )


def test_actors_are_visible_and_apart(clips):
    areas = []
    for clip in clips["train"] + clips["test"]:
        assert clip.masks.sum(axis=0).max() == 1
        areas.append(clip.masks.sum(axis=(1, 2)))
    areas = np.array(areas)
    assert areas.min() > 80
    assert 300 < areas.mean() < 600


def test_masks_lie_on_their_colour(clips):
    shares = []
    for clip in clips["train"]:
        frame = clip.frames[schema.TARGET_INDEX].astype(int)
        for mask, look in zip(clip.masks, clip.looks, strict=True):
            colour = np.array(drawing._RGB[look.split()[0]])
            near = np.abs(frame - colour).max(axis=-1) < 55
            shares.append(near[mask].mean())
    assert len(shares) == 4 * CLIPS
    # The rest is the dark spot and the blended rim.
    assert np.mean(shares) > 0.75
    assert np.quantile(shares, 0.02) > 0.55


def test_target_frame_does_not_tell_the_action(clips):
    by_action = collections.defaultdict(list)
    rows, columns = np.mgrid[:96, :96]
    for clip in clips["train"] + clips["test"]:
        for mask, action in zip(clip.masks, clip.actions, strict=True):
            by_action[action].append(
                (columns[mask].mean(), rows[mask].mean(), mask.sum() ** 0.5)
            )
    everyone = np.concatenate(list(by_action.values()))
    assert len(everyone) == 8 * CLIPS
    for measured in by_action.values():
        standard_error = everyone.std(axis=0) / len(measured) ** 0.5
        difference = np.mean(measured, axis=0) - everyone.mean(axis=0)
        assert np.all(np.abs(difference) < 4 * standard_error)


def test_every_action_passes_the_same_target_place(lone_tracks):
    reference = lone_tracks["stand still"][:, schema.TARGET_INDEX]
    for tracks in lone_tracks.values():
        np.testing.assert_allclose(
            tracks[:, schema.TARGET_INDEX], reference, atol=1e-9
        )


@pytest.mark.parametrize("action", list(language.ACTIONS))
def test_an_action_changes_only_what_it_should(lone_tracks, action):
    steps = np.diff(lone_tracks[action], axis=1)
    moved = np.abs(steps).max(axis=(0, 1)) > 1e-9
    expected = {
        "roll": [3],
        "grow": [2],
        "jump": [1],
        "stand still": [],
        "move left": [0],
        "move right": [0],
        "move up": [1],
        "move down": [1],
    }[action]
    np.testing.assert_array_equal(np.flatnonzero(moved), expected)
    if action in TURNS:
        along = steps[..., :2] @ np.array(TURNS[action])
        assert 3.0 <= along.min() <= along.max() <= 4.5
    elif action == "jump":
        rise = np.ptp(lone_tracks[action][..., 1], axis=1)
        assert 6 < rise.min() < rise.max() <= 15
    elif action == "grow":
        assert steps[..., 2].min() > 0.3
    elif action == "roll":
        turns = np.abs(np.degrees(steps[..., 3]))
        assert 24 <= turns.min() <= turns.max() <= 36


def test_pixels_move_as_the_sentence_says():
    """Each action, seen in the pixels of the actor's colour alone."""
    rows, columns = np.mgrid[:96, :96]
    seen = collections.Counter()
    right = collections.Counter()
    for index in range(2 * CLIPS):
        clip = drawing.draw_clip(1, "train", index)
        colours = [look.split()[0] for look in clip.looks]
        action, other = clip.actions[:2]
        if other not in ("roll", "stand still") or colours[0] == colours[2]:
            continue
        near = np.abs(
            clip.frames.astype(int)
            - clip.frames[schema.TARGET_INDEX][clip.masks[0]].mean(axis=0)
        ).max(axis=-1)
        area, x, y = np.array(
            [(m.sum(), columns[m].mean(), rows[m].mean()) for m in near < 60]
        ).T
        seen[action] += 1
        if action in TURNS:
            dx, dy = TURNS[action]
            shift = dx * (x[6] - x[2]) + dy * (y[6] - y[2])
            right[action] += shift > 2
        elif action == "grow":
            right[action] += area[6] - area[2] > 0.1 * area[4]
        elif action == "jump":
            right[action] += np.ptp(y) > np.ptp(x)
        else:
            right[action] += max(np.ptp(x), np.ptp(y)) < 4
    assert sum(seen.values()) > 60
    assert set(seen) == set(language.ACTIONS)
    assert sum(right.values()) > 0.85 * sum(seen.values())


def test_annotated_frame_holds_the_clip():
    frame = drawing.annotated_frame("test-000012", "test", seed=5)
    clip = drawing.draw_clip(5, "test", 12)
    assert frame.key == "moving_actors/test-000012/00009"
    assert frame.subset == "test"
    assert frame.clip_frame_numbers == [1, 3, 5, 7, 9, 11, 13, 15]
    assert frame.clip_frame_numbers[schema.TARGET_INDEX] == 9
    np.testing.assert_array_equal(np.stack(frame.clip), clip.frames)
    assert len(frame.actors) == 4
    for actor, mask in zip(frame.actors, clip.masks, strict=True):
        np.testing.assert_array_equal(actor.mask, mask)
    assert [actor.look for actor in frame.actors] == list(clip.looks)
    assert [actor.action for actor in frame.actors] == list(clip.actions)
    assert [(q.text, q.actor) for q in frame.queries] == [
        (s.text, s.actor) for s in clip.sentences
    ]


def test_jpeg_keeps_the_colours():
    clip = drawing.draw_clip(0, "train", 2)
    frame = clip.frames[schema.TARGET_INDEX]
    decoded = schema.decode_jpeg(schema.encode_jpeg(frame))
    difference = np.abs(decoded.astype(int) - frame)
    assert difference.mean() < 6
    for mask in clip.masks:
        change = decoded[mask].mean(axis=0) - frame[mask].mean(axis=0)
        assert np.abs(change).max() < 3


@pytest.mark.parametrize(
    ("arguments", "sizes", "name"),
    [
        ((0, "valid", 0), {}, "split"),
        ((-1, "train", 0), {}, "seed"),
        ((0, "train", -1), {}, "index"),
        ((0, "train", 0), {"height": 32}, "height"),
    ],
)
def test_bad_arguments_are_named(arguments, sizes, name):
    with pytest.raises(ValueError, match=f"Received: .*{name}="):
        drawing.draw_clip(*arguments, **sizes)


def test_groups_mean_everyone_who_does_the_action_in_training_alone():
    seen = 0
    for index in range(50):
        clip = drawing.draw_clip(0, "train", index)
        assert [group.actors for group in clip.groups] == [(0, 2), (1, 3)]
        for group in clip.groups:
            assert {clip.actions[i] for i in group.actors} == {group.action}
            wordings = language.ACTIONS[group.action]
            assert any(w in group.text for kind in wordings for w in kind)
            assert not any(colour in group.text for colour in language.COLOURS)
            seen += 1
        assert drawing.draw_clip(0, "test", index).groups == ()
    assert seen == 100


def test_a_lesson_in_actions_asks_for_both_groups_and_one_actor():
    for index in range(20):
        clip = drawing.draw_clip(0, "train", index)
        frame = drawing.annotated_frame(
            f"train-{index:06d}", "train", sentences="actions"
        )
        texts = [clip.sentences[0].text, *(g.text for g in clip.groups)]
        assert [query.text for query in frame.queries] == texts
        assert [query.actor for query in frame.queries] == [0, 4, 5]
        assert [a.id for a in frame.actors[4:]] == ["0+2", "1+3"]
        for group, pair in zip(frame.actors[4:], ((0, 2), (1, 3)), strict=True):
            both = clip.masks[pair[0]] | clip.masks[pair[1]]
            np.testing.assert_array_equal(group.mask, both)
    with pytest.raises(ValueError, match="Received: sentences='looks'"):
        drawing.annotated_frame("train-000000", "train", sentences="looks")
