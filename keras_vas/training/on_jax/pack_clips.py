"""Packs the clips of records into .npz files, to train on JAX.

    python -m keras_vas.training.on_jax.pack_clips --data=RECORDS --output=DIR

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
from keras_vas.data import (
    pipeline,
    records,
    training_split,
    transforms,
)
from keras_vas.data.records import schema
from keras_vas.data.text import vocabulary, word_vectors
from keras_vas.training import settings
from keras_vas.training.on_jax.clip_pack import ClipPack

FLAGS = flags.FLAGS


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
    flags.DEFINE_string(
        "data", None, "Folder with the records to pack.", required=True
    )
    flags.DEFINE_string(
        "output", None, "Folder for the packed clips.", required=True
    )
    flags.DEFINE_boolean(
        "overwrite", False, "Replace the packed clips that are there."
    )
    flags.DEFINE_string(
        "vocabulary",
        None,
        "File vocabulary.txt of tfrecords/build_vocabulary.py; without it, "
        "the words of the training sentences.",
    )
    flags.DEFINE_string(
        "word_vectors", None, "GloVe text file, or .npz of words and vectors."
    )
    flags.DEFINE_integer(
        "embedding_dim",
        300,
        "Numbers in a vector of --word_vectors.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "passes",
        1,
        "How often each sample is stored, its augmentation drawn anew.",
        lower_bound=1,
    )
    command_line.define_flags(
        settings.Input,
        without=("group_queries", "sentences_per_clip", "skip_corrupt"),
    )
    command_line.define_flags(transforms.Augmentation)
    command_line.define_flags(training_split.divide, without=("index",))


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
    inputs = command_line.build(settings.Input)
    augmentation = command_line.build(transforms.Augmentation)
    if FLAGS.passes > 1 and augmentation == pipeline.NO_AUGMENTATION:
        raise errors.UserError(
            f"--passes={FLAGS.passes} would store the same samples "
            "repeatedly; give an augmentation such as --flip=0.5"
        )
    train_index, validation_index = command_line.build(
        training_split.divide, index=records.read_index(FLAGS.data, "train")
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
    size = {"height": inputs.frame_height, "width": inputs.frame_width}
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
