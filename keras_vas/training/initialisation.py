"""What a training begins with: vocabulary, weights, and what stays frozen."""

import numpy as np

from keras_vas import weights
from keras_vas.command_line import checked, counted
from keras_vas.errors import UserError
from keras_vas.layers.class_prior import ClassPrior
from keras_vas.models.segmentation_model import WORD_VECTORS
from keras_vas.models.variables import model_variables
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.runs.run import best_path
from keras_vas.training import fine_tuning


def choose_vocabulary(beginning, path, sentences):
    """The vocabulary of the runs that weights come from, a file, or a new one.

    Args:
        beginning: `settings.Beginning`.
        path: vocabulary.txt of tfrecords/build_vocabulary.py, or `None`.
        sentences: list of str, the training sentences.

    Returns:
        `Vocabulary`. What is odd about the sentences is printed.

    Raises:
        UserError: there is no such file, two sources differ, or words would
            keep random vectors.
    """
    from keras_vas.data.text.vocabulary import Vocabulary, sentence_warnings

    sources = {
        run: run_directory.load_vocabulary(run) for run in beginning.runs
    }
    initialised = bool(sources) or bool(beginning.word_vectors)
    if path:
        sources[path] = Vocabulary.load(path)
    known = Vocabulary.build(sentences)
    (first, vocabulary), *others = sources.items() or [(None, known)]
    for other, theirs in others:
        if theirs.words != vocabulary.words:
            raise UserError(
                f"{other} has another vocabulary than {first}; all must be "
                "trained with the same words"
            )
    for line in sentence_warnings(sentences, vocabulary):
        print(line)
    unseen = set(vocabulary.words) - set(known.words)
    if unseen and not initialised:
        raise UserError(
            f"{len(unseen)} words of {path} are in no training sentence and "
            "would keep random vectors; give --word_vectors"
        )
    return vocabulary


def initialise(model, beginning, vocabulary, sentences, seed):
    """Gives a model the weights that it begins with, and freezes parts.

    Args:
        model: `SegmentationModel`.
        beginning: `settings.Beginning`.
        vocabulary: `Vocabulary` of the model.
        sentences: list of str, the training sentences.
        seed: int, of the lesson in names.

    Returns:
        List of `name_lesson.NameLesson`, those that the names ask for. They
        have been given, unless a run brings the words that it learnt.

    Raises:
        UserError: a source is missing, damaged or of another architecture,
            or the model has no such part.
    """
    if beginning.word_vectors:
        _assign_word_vectors(model, beginning.word_vectors, vocabulary)
    lessons = []
    for encoder in ("spatial", "temporal"):
        head = _assign_pretrained(model, beginning, encoder)
        if encoder == "spatial" and not beginning.init_run:
            _assign_class_prior(model, head, vocabulary)
        names = beginning.source("names", encoder)
        if names:
            if beginning.init_run:
                head = _head_of_run(beginning.init_run, model, encoder)
            lesson = _name_lesson(
                model, encoder, head, names, vocabulary, sentences, seed
            )
            lessons.append(lesson)
            if not beginning.init_run:
                right = lesson.teach()
                print(f"{encoder} names: {100 * right:.0f} % are told apart")
    if beginning.init_run:
        assign_model(model, beginning.init_run)
    assign_encoders(
        model,
        {
            encoder: run
            for encoder in ("spatial", "temporal")
            if (run := beginning.source("run", encoder))
        },
    )
    fine_tuning.freeze(model, beginning.freeze)
    return lessons


def assign_model(model, run):
    """Gives `model` all weights of the best checkpoint of `run`."""
    arrays, _ = checkpoint.load(best_path(run))
    checkpoint.assign(model_variables(model), arrays, best_path(run))


def assign_backbone(model, encoder, run):
    """Gives `model` the backbone of a run, without text encoder and CMAMs.

    Args:
        model: `SegmentationModel` with the encoder.
        encoder: `"spatial"` or `"temporal"`.
        run: a directory with `checkpoints/best.npz`.

    Returns:
        How many arrays were assigned.

    Raises:
        UserError: the run's backbone has another architecture or width.
    """
    prefixes = model.prefixes_of(f"{encoder}_backbone")
    variables = _within(model_variables(model), prefixes)
    arrays, _ = checkpoint.load(best_path(run))
    arrays = _within(arrays, prefixes)
    if variables.keys() < arrays.keys():  # a model with fewer stages
        arrays = {path: arrays[path] for path in variables}
    checkpoint.assign(variables, arrays, best_path(run))
    return len(variables)


def assign_encoders(model, runs):
    """Gives `model` the encoders that other runs have trained.

    Args:
        model: `SegmentationModel` with the encoders named in `runs`.
        runs: dict of encoder (`"spatial"`, `"temporal"`) to run directory.
            Taken are its best checkpoint's variables of that part, and its
            word vectors, which must agree between the runs.

    Raises:
        UserError: a run's encoder has another architecture, or the word
            vectors of two runs differ.
    """
    variables = model_variables(model)
    words = _within(variables, (WORD_VECTORS,))
    found = {}
    for encoder, run in runs.items():
        path, prefixes = best_path(run), model.prefixes_of(encoder)
        arrays, _ = checkpoint.load(path)
        checkpoint.assign(
            _within(variables, prefixes), _within(arrays, prefixes), path
        )
        vectors = _within(arrays, (WORD_VECTORS,))
        checkpoint.assign(words, vectors, path)
        for other, theirs in found.items():
            if any(not np.array_equal(vectors[k], theirs[k]) for k in vectors):
                raise UserError(
                    f"the word vectors of {run} differ from those of {other}; "
                    "train both from the same --word_vectors, with "
                    "--notrain_embeddings"
                )
        found[run] = vectors


def _assign_word_vectors(model, path, vocabulary):
    # Brings TensorFlow in, which training on JAX does without.
    from keras_vas.data.text import word_vectors

    layer = model.get_layer(WORD_VECTORS)
    vectors, missing = word_vectors.load(path, vocabulary, layer.output_dim)
    layer.set_weights([vectors])
    print(
        f"{path} lacks {len(missing)} of {len(vocabulary.words)} words"
        + (f": {', '.join(missing[:10])} ..." if missing else "")
    )


def _assign_pretrained(model, beginning, encoder):
    """Gives a backbone its weights; returns the head that came along."""
    what = beginning.source("weights", encoder)
    if not what:
        return None
    part = f"{encoder}_backbone"
    if part not in model.parts or not model.layers_of(part):
        raise UserError(
            f"--{encoder}_weights needs a {encoder} encoder; this model has "
            "none"
        )
    if best_path(what).is_file():
        count = assign_backbone(model, encoder, what)
        model.weights_assigned(part)
        print(f"{encoder} encoder: {count} arrays of {what}")
        return None
    found = weights.load(what, model.get_config()[part])
    weights.assign(model, part, found)
    model.weights_assigned(part)
    print(f"{encoder} encoder: {len(found.trunk)} arrays of {found.source}")
    return found.arrays.get("head/kernel")


def _assign_class_prior(model, head, vocabulary):
    layers = [x for x in model.layers if isinstance(x, ClassPrior)]
    if layers:
        # Brings TensorFlow in, which training on JAX does without.
        from keras_vas.weights import class_prior

        count = class_prior.assign(
            layers[0],
            model.get_config()["spatial_backbone"],
            head,
            vocabulary.words,
        )
        print(f"class prior: {count} words have a direction")


def _head_of_run(run, model, encoder):
    """The head of the pretrained backbone that a run began with, or `None`."""
    flags = run_directory.read_config(run)["flags"]
    what = flags.get(f"{encoder}_weights")
    if what and not best_path(what).is_file():
        architecture = model.get_config()[f"{encoder}_backbone"]
        return weights.load(what, architecture).arrays.get("head/kernel")
    earlier = flags.get("init_run")
    return _head_of_run(earlier, model, encoder) if earlier else None


def _name_lesson(model, encoder, head, names, vocabulary, sentences, seed):
    # Brings TensorFlow in, which training on JAX does without.
    from keras_vas.training import name_lesson, taught_names
    from keras_vas.weights import class_prior

    if head is None:
        raise UserError(
            f"--{encoder}_names needs --{encoder}_weights with a head, whose "
            "classes they name, such as imagenet or kinetics400"
        )
    nouns = names == taught_names.WORDNET
    if nouns and encoder == "temporal":
        raise UserError(
            "--temporal_names=wordnet: WordNet names what is seen in pictures; "
            "give a file with the names of the classes"
        )
    if nouns:
        taught = taught_names.of_nouns(vocabulary)
        architecture = model.get_config()["spatial_backbone"]
        directions = name_lesson.unit(
            class_prior.class_directions(head, architecture)
        )
    else:
        classes = taught_names.read_names(names, head.shape[-1])
        taught = taught_names.of_classes(
            classes, vocabulary, actions=encoder == "temporal"
        )
        directions = name_lesson.directions(head)
    print(f"{encoder} names: {counted(len(taught.tokens), 'name')}")
    return checked(
        name_lesson.NameLesson,
        model,
        encoder,
        directions,
        taught,
        taught_names.Sentences(taught, vocabulary, sentences, nouns),
        seed,
    )


def _within(mapping, prefixes):
    return {k: v for k, v in mapping.items() if k.startswith(prefixes)}
