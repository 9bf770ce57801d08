"""Packs the clips of records into .npz files, for benchmarks/train_jax.py.

    python benchmarks/pack_clips.py --data=RECORDS --output=DIR

    DIR/train.npz        the training samples
    DIR/validation.npz   those of the videos set aside to choose a checkpoint

Frames are scaled and padded as in training. Without augmentation a clip is
stored once for all its sentences. With augmentation every sample is stored by
itself, `--passes` times, each time drawn anew; the size grows likewise.
"""

import pathlib

import numpy as np
import tqdm
from absl import flags

from keras_vas import command_line, errors
from keras_vas.data import pipeline, records, training_split, transforms
from keras_vas.data.records import schema
from keras_vas.data.text import vocabulary, word_vectors
from keras_vas.training.on_jax.clip_pack import ClipPack

FLAGS = flags.FLAGS

_AUGMENTATION_FLAGS = ("flip", "crop", "colour", "word_dropout", "pair")


def pack(
    index,
    words,
    vectors,
    *,
    height,
    width,
    seed=0,
    passes=1,
    augmentation=pipeline.NO_AUGMENTATION,
):
    """Makes a pack of all samples of an index.

    Args:
        index: `records.RecordIndex`.
        words: `Vocabulary`.
        vectors: float32 (len(words), dimension), or (0, 0).
        height: int, multiple of 32, pixels.
        width: int, likewise.
        seed: int, of the augmentation.
        passes: int, how often each sample is stored; 1 without augmentation.
        augmentation: `transforms.Augmentation`.

    Returns:
        `ClipPack`, all of it in memory.
    """
    size = {"height": height, "width": width, "batch_size": 1}
    if augmentation == pipeline.NO_AUGMENTATION:
        clips = index.sample_records.astype(np.int32)
        batches = pipeline.evaluation_dataset(index, words, **size)
    else:
        clips = np.arange(passes * index.num_samples, dtype=np.int32)
        batches = pipeline.training_dataset(
            index,
            words,
            **size,
            seed=seed,
            epochs=passes,
            augmentation=augmentation,
        )
    count = len(clips)
    shape = (clips[-1] + 1, schema.CLIP_LENGTH, height, width, 3)
    frames = np.empty(shape, np.uint8)
    masks = np.empty((count, height, width // 8), np.uint8)
    tokens = np.empty((count, vocabulary.MAX_WORDS), np.int32)
    with pipeline.readable_errors(index):
        for sample, batch in enumerate(
            tqdm.tqdm(batches, total=count, unit=" samples")
        ):
            if sample == 0 or clips[sample] != clips[sample - 1]:
                frames[clips[sample]] = batch["frames"][0]
            bits = batch["mask"][0, ..., 0].numpy() > 0.5
            masks[sample] = np.packbits(bits, axis=-1)
            tokens[sample] = batch["tokens"][0]
    return ClipPack(
        frames,
        clips,
        masks,
        tokens,
        np.array(words.words, np.str_),
        vectors,
        index.manifest,
    )


def define_flags():
    """Defines the program's flags."""
    flags.DEFINE_string("data", None, "Folder with the records.", required=True)
    flags.DEFINE_string("output", None, "Folder to write to.", required=True)
    flags.DEFINE_boolean("overwrite", False, "Replace what is there.")
    flags.DEFINE_integer("frame_height", 320, "A multiple of 32.")
    flags.DEFINE_integer("frame_width", 320, "A multiple of 32.")
    flags.DEFINE_float(
        "validation_fraction", 0.1,
        "Share of the training videos that is set aside; 0: none.",
        lower_bound=0.0, upper_bound=0.9,
    )  # fmt: skip
    flags.DEFINE_integer("seed", 0, "Of the videos set aside and augmentation.")
    flags.DEFINE_string(
        "vocabulary", None, "vocabulary.txt of tfrecords/build_vocabulary.py."
    )
    flags.DEFINE_string(
        "word_vectors", None, "GloVe text file, or .npz of words and vectors."
    )
    flags.DEFINE_integer(
        "embedding_dim", 300, "Of --word_vectors.", lower_bound=1
    )
    flags.DEFINE_integer(
        "passes", 1, "How often to draw the augmentation.", lower_bound=1
    )
    flags.DEFINE_float("flip", 0.0, "Chance of a flip, left and right swapped.")
    flags.DEFINE_float("crop", 0.0, "Largest share of a side cut off.")
    flags.DEFINE_float("colour", 0.0, "Largest change of brightness, contrast.")
    flags.DEFINE_float("word_dropout", 0.0, "Chance that a word is not known.")
    flags.DEFINE_float(
        "pair", 0.0, "Chance that another clip is put beside the sample's."
    )


def main(_):
    """Writes the files that the flags describe."""
    output = pathlib.Path(FLAGS.output)
    names = ["train", "validation"][: 2 if FLAGS.validation_fraction else 1]
    for name in names:
        path = output / f"{name}.npz"
        if path.exists() and not FLAGS.overwrite:
            raise errors.UserError(
                f"{path} exists; give another --output, or --overwrite to "
                "replace it"
            )
    values = {name: FLAGS[name].value for name in _AUGMENTATION_FLAGS}
    try:
        transforms.check_size(FLAGS.frame_height, FLAGS.frame_width)
        augmentation = transforms.Augmentation(**values)
    except ValueError as error:
        raise errors.UserError(str(error)) from error
    if FLAGS.passes > 1 and augmentation == pipeline.NO_AUGMENTATION:
        raise errors.UserError(
            f"--passes={FLAGS.passes} would store the same samples "
            "repeatedly; give an augmentation such as --flip=0.5"
        )
    train_index, validation_index = training_split.set_aside_videos(
        records.read_index(FLAGS.data, "train"),
        FLAGS.validation_fraction,
        FLAGS.seed,
    )
    words = (
        vocabulary.Vocabulary.load(FLAGS.vocabulary)
        if FLAGS.vocabulary
        else vocabulary.Vocabulary.build(training_split.sentences(train_index))
    )
    vectors = np.zeros((0, 0), np.float32)
    if FLAGS.word_vectors:
        vectors, missing = word_vectors.load(
            FLAGS.word_vectors, words, FLAGS.embedding_dim
        )
        print(
            f"{FLAGS.word_vectors} lacks {len(missing)} of "
            f"{len(words.words)} words"
        )
    size = {"height": FLAGS.frame_height, "width": FLAGS.frame_width}
    packs = {
        "train": pack(
            train_index,
            words,
            vectors,
            **size,
            seed=FLAGS.seed,
            passes=FLAGS.passes,
            augmentation=augmentation,
        )
    }
    if validation_index:
        packs["validation"] = pack(validation_index, words, vectors, **size)
    for name, made in packs.items():
        path = output / f"{name}.npz"
        made.save(path)
        print(
            f"{path}: {len(made)} samples, {len(made.frames)} clips, "
            f"{path.stat().st_size / 2**20:.1f} MiB"
        )


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
