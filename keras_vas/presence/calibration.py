"""Calibrates the presence score of a run on records.

A query about an actor that is there is any query of a record; a query about
an absent one is a sentence of another video, put to the same clip. Nobody
has looked whether such a sentence happens to fit, so one that is also said of
the clip, or describes an actor of the same look and action, is not taken.

The threshold of masks is that of the largest mean IoU, out of `THRESHOLDS`,
for the queries about actors that are there.

The videos are divided in two halves: slope and offset are fitted to one, and
the metrics are measured on the other.
"""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf
import tqdm

from keras_vas import metrics as metrics_lib
from keras_vas.data import records, training_split, transforms
from keras_vas.data.records import schema
from keras_vas.errors import UserError
from keras_vas.presence import score as presence_score

MAX_RECORDS = 200
MIN_VIDEOS = 4
THRESHOLDS = np.round(np.arange(0.1, 0.71, 0.05), 2)


def calibrate(model, vocabulary, config, directory, *, height, width):
    """Fits and measures the score on the validation videos of a run.

    Those are the training videos that the run set aside; if it set none
    aside, all of them, and the metrics are then too good.

    Args:
        model: `SegmentationModel` of the run.
        vocabulary: its `Vocabulary`.
        config: dict of the run's config.json.
        directory: folder with the records.
        height: int, multiple of 32, height at which the model sees frames.
        width: int, likewise.

    Returns:
        `score.Calibration` with metrics of the half that was not fitted.

    Raises:
        UserError: the records cannot be read, or hold fewer than four videos.
    """
    index, kind = _validation(directory, config["flags"])
    evidence, present, halves, ious = _evidence(
        model, vocabulary, index, height, width
    )
    source = (
        f"{index.manifest['dataset']}, {kind}, absent queries from other videos"
    )
    fitted = presence_score.fit(evidence[~halves], present[~halves], source)
    scores = np.asarray(fitted.score(evidence[halves].astype(np.float32)))
    metrics = presence_score.measure(scores, present[halves])
    mean = ious.mean(axis=0)
    best = int(mean.argmax())
    metrics |= {
        "mean_iou": float(mean[best]),
        "mean_iou_at_0.5": float(mean[THRESHOLDS.tolist().index(0.5)]),
    }
    return dataclasses.replace(
        fitted, metrics=metrics, threshold=float(THRESHOLDS[best])
    )


def absent_queries(frames, seed=0):
    """Chooses for every query one about an actor that is not there.

    Args:
        frames: list of `schema.AnnotatedFrame`.
        seed: int.

    Returns:
        List, one entry a frame, of lists of sentences: as many as the frame
        has queries, or fewer where no other video offers one.
    """
    rng = np.random.default_rng(seed)
    offers = [
        (frame.video_id, query.text, _kind(frame.actors[query.actor]))
        for frame in frames
        for query in frame.queries
    ]
    videos = {}
    for frame in frames:
        texts, kinds = videos.setdefault(frame.video_id, (set(), set()))
        texts.update(query.text for query in frame.queries)
        kinds.update(_kind(actor) for actor in frame.actors)
    chosen = []
    for frame in frames:
        texts, kinds = videos[frame.video_id]
        fitting = dict.fromkeys(
            text
            for video, text, kind in offers
            if video != frame.video_id
            and text not in texts
            and (kind is None or kind not in kinds)
        )
        count = min(len(frame.queries), len(fitting))
        places = rng.choice(len(fitting), count, replace=False)
        chosen.append([list(fitting)[place] for place in sorted(places)])
    return chosen


def _kind(actor):
    named = actor.look or actor.action
    return (actor.look, actor.action) if named else None


def _validation(directory, flags):
    index = records.read_index(directory, "train")
    _, aside = training_split.divide_as_run(index, flags)
    if aside is None or len(set(aside.videos)) < MIN_VIDEOS:
        return index, "training videos"
    return aside, "validation videos"


def _evidence(model, vocabulary, index, height, width):
    """Evidence, presence and half of every query, present and absent.

    And the IoU at each of `THRESHOLDS` of those that are present.
    """
    video_of = index.videos
    videos = sorted(
        set(video_of),
        key=lambda video: hashlib.sha256(video.encode()).digest(),
    )
    if len(videos) < MIN_VIDEOS:
        raise UserError(
            f"{index.directory} has {len(videos)} videos to calibrate on; "
            f"give --data with at least {MIN_VIDEOS}"
        )
    second = set(videos[1::2])
    chosen = np.random.default_rng(0).permutation(len(index))[:MAX_RECORDS]
    parts = {False: [], True: []}
    for number in sorted(chosen):
        parts[video_of[number] in second].append(index.read(number))

    @tf.function(
        input_signature=[
            tf.TensorSpec([schema.CLIP_LENGTH, None, None, 3], tf.uint8),
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None, None, None, 1], tf.bool),
        ]
    )
    def run(clip, texts, masks):
        clip = transforms.letterbox(clip, height, width)
        clip = tf.repeat(clip[None], tf.size(texts), axis=0)
        inputs = {"frames": clip, "tokens": vocabulary.encode(texts)}
        logits = model(inputs, training=False)["mask_logits"]
        truth = tf.map_fn(
            lambda mask: transforms.pad(
                transforms.fit_mask(mask, height, width)[None], height, width
            )[0],
            masks,
            fn_output_signature=tf.TensorSpec([height, width, 1], tf.float32),
        )
        found = tf.sigmoid(logits[: tf.shape(masks)[0]]) > THRESHOLDS
        found = tf.cast(found, tf.float32)
        intersection = tf.reduce_sum(found * truth, (1, 2))
        union = tf.reduce_sum(tf.maximum(found, truth), (1, 2))
        return presence_score.evidence(logits), intersection, union

    evidence, present, halves, ious = [], [], [], []
    count = sum(map(len, parts.values()))
    with tqdm.tqdm(total=count, desc="calibrate", unit="clip") as bar:
        for half, frames in parts.items():
            absent = absent_queries(frames)
            for frame, missing in zip(frames, absent, strict=True):
                bar.update()
                texts = [query.text for query in frame.queries]
                if not texts:
                    continue
                clip = np.stack([schema.decode_jpeg(d) for d in frame.clip])
                masks = np.stack(
                    [frame.actors[query.actor].mask for query in frame.queries]
                )[..., None]
                found, *areas = run(clip, texts + missing, masks)
                evidence.append(found.numpy())
                ious.append(metrics_lib.iou(*areas))
                present += [True] * len(texts) + [False] * len(missing)
                halves += [half] * len(texts + missing)
    if len(set(halves)) < 2:
        raise UserError(
            f"{index.directory} has too few sentences to calibrate on; give "
            "--data with more videos"
        )
    return (
        np.concatenate(evidence),
        np.array(present),
        np.array(halves),
        np.concatenate(ious),
    )
