"""The presence score: evidence, calibration, its measures and its queries."""

import numpy as np
import pytest

from keras_vas.data.records import schema
from keras_vas.errors import UserError
from keras_vas.presence import calibration
from keras_vas.presence import score as presence_score


def square(size, side, inside=6.0, outside=-9.0):
    logits = np.full((1, size, size, 1), outside, np.float32)
    logits[:, 3 : 3 + side, 5 : 5 + side] = inside
    return logits


def test_evidence_is_the_mean_probability_within_the_mask():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (3, 32, 64, 1)).astype(np.float32)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    mean = (p**2).sum((1, 2, 3)) / p.sum((1, 2, 3))
    found = np.asarray(presence_score.evidence(logits))
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), mean, rtol=1e-5)


def test_evidence_depends_on_certainty_and_hardly_on_size():
    def found(logits):
        return float(presence_score.evidence(logits)[0])

    crisp = [
        found(square(64, 8)),
        found(square(64, 32)),
        found(square(320, 80)),
    ]
    assert np.ptp(crisp) < 1.5
    vague = found(square(64, 16, inside=0.0))
    nothing = found(square(64, 0))
    assert min(crisp) > 4 > vague + 3 > nothing + 3
    for value in (-1e4, 1e4):
        assert np.isfinite(found(np.full((1, 32, 32, 1), value, np.float32)))


def test_fit_solves_the_equations_of_logistic_regression():
    rng = np.random.default_rng(1)
    evidence = rng.normal(2, 3, 4000)
    chance = 1 / (1 + np.exp(-(0.8 * evidence - 1.5)))
    present = rng.uniform(size=4000) < chance
    fitted = presence_score.fit(evidence, present)
    assert fitted.slope == pytest.approx(0.8, abs=0.08)
    assert fitted.offset == pytest.approx(-1.5, abs=0.2)
    # at the optimum the residual is orthogonal to both columns
    residual = np.asarray(fitted.score(evidence)) - present
    assert abs(residual.mean()) < 1e-6
    assert abs((residual * evidence).mean()) < 1e-4
    measured = presence_score.measure(
        np.asarray(fitted.score(evidence)), present
    )
    assert measured["calibration_error"] < 0.03


def test_fit_stays_finite_where_the_evidence_separates():
    fitted = presence_score.fit(
        [-3.0, -2.0, 4.0, 5.0], [False, False, True, True]
    )
    assert np.isfinite([fitted.slope, fitted.offset]).all()
    scores = np.asarray(fitted.score(np.array([-2.0, 4.0], np.float32)))
    assert scores[0] < 0.02
    assert scores[1] > 0.98


def test_fit_refuses_what_it_cannot_calibrate_on():
    with pytest.raises(UserError, match="2 of 2 queries"):
        presence_score.fit([1.0, 2.0], [True, True])
    with pytest.raises(UserError, match="not finite"):
        presence_score.fit([1.0, np.nan], [True, False])


def test_measures_agree_with_pairs_and_bins_counted_one_by_one():
    rng = np.random.default_rng(2)
    present = rng.uniform(size=150) < 0.4
    scores = np.round(rng.uniform(size=150) * 0.7 + 0.3 * present, 2)
    scores[0], scores[1] = 0.0, 1.0
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a in scores[present]
        for b in scores[~present]
    ]
    error = 0.0
    for low in range(10):
        last = low == 9
        inside = (scores * 10 >= low) & ((scores * 10 < low + 1) | last)
        if inside.any():
            gap = abs(scores[inside].mean() - present[inside].mean())
            error += inside.mean() * gap
    found = presence_score.measure(scores, present)
    assert found["queries"] == 150
    assert found["present"] == present.sum()
    assert found["auc"] == pytest.approx(np.mean(pairs))
    assert found["brier"] == pytest.approx(np.mean((scores - present) ** 2))
    assert found["calibration_error"] == pytest.approx(error)
    assert presence_score.measure([0.5], [True])["auc"] is None


def test_a_calibration_is_kept_in_the_run(tmp_path):
    assert (
        presence_score.Calibration.load(tmp_path)
        == presence_score.Calibration()
    )
    assert presence_score.Calibration().source == "uncalibrated"
    saved = presence_score.Calibration(0.5, -1.0, "records", {"auc": 0.9})
    saved.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["presence.json"]
    assert presence_score.Calibration.load(tmp_path) == saved
    evidence = np.array([0.0, 4.0], np.float32)
    np.testing.assert_allclose(
        np.asarray(saved.score(evidence)),
        1 / (1 + np.exp([1.0, -1.0])),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "text", ["{", '{"slop": 1}', '{"slope": NaN}', '{"slope": "x"}', "[]"]
)
def test_a_damaged_calibration_is_named(tmp_path, text):
    (tmp_path / "presence.json").write_text(text)
    with pytest.raises(UserError, match=r"presence\.json is no calibration"):
        presence_score.Calibration.load(tmp_path)


def frame(video, actors, queries):
    """`actors` are (look, action), `queries` (text, actor)."""
    mask = np.ones((2, 2), bool)
    return schema.AnnotatedFrame(
        dataset="fabricated",
        video_id=video,
        subset="train",
        frame_number=1,
        clip=[],
        clip_frame_numbers=[],
        height=2,
        width=2,
        actors=tuple(
            schema.Actor(str(i), mask, *actor) for i, actor in enumerate(actors)
        ),
        queries=tuple(schema.Query(*query) for query in queries),
    )


def test_absent_queries_are_of_other_videos_and_fit_no_actor():
    frames = [
        frame("1", [("red", "rolls"), ("blue", "")], [("red", 0), ("blue", 1)]),
        frame("1", [("red", "rolls")], [("the red one", 0)]),
        frame("2", [("red", "rolls")], [("rolling red", 0)]),
        frame("3", [("", ""), ("blue", "")], [("a man", 0), ("blue", 1)]),
        frame("4", [("green", "")], [("green", 0)]),
    ]
    chosen = calibration.absent_queries(frames)
    # video 1: not "rolling red" (same look and action), not its own "blue"
    assert set(chosen[0]) == {"a man", "green"}
    assert set(chosen[1]) <= {"a man", "green"}
    assert len(chosen[1]) == len(chosen[2]) == 1
    assert chosen[2][0] in {"blue", "a man", "green"}
    assert set(chosen[3]) <= {"red", "the red one", "rolling red", "green"}
    assert len(chosen[3]) == 2
    assert chosen == calibration.absent_queries(frames)


def test_no_other_video_offers_no_absent_query():
    frames = [frame("1", [("red", "")], [("red", 0)])] * 2
    assert calibration.absent_queries(frames) == [[], []]
