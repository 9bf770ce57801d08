"""What a training begins with."""

import numpy as np

from keras_vas.errors import UserError
from keras_vas.models.cstm.part_names import WORD_VECTORS
from keras_vas.models.variables import model_variables
from keras_vas.runs import checkpoint
from keras_vas.runs.run import best_path


def assign_model(model, run):
    """Gives `model` all weights of the best checkpoint of `run`."""
    arrays, _ = checkpoint.load(best_path(run))
    checkpoint.assign(model_variables(model), arrays, best_path(run))


def assign_backbone(model, encoder, run):
    """Gives `model` the backbone of a run, without text encoder and CMAMs.

    Args:
        model: a `CSTM` with the encoder.
        encoder: `"spatial"` or `"temporal"`.
        run: a directory with `checkpoints/best.npz`.

    Returns:
        How many arrays were assigned.

    Raises:
        UserError: the run's backbone has another architecture or width.
    """
    prefix = f"{encoder}_backbone"
    variables = _within(model_variables(model), prefix)
    arrays, _ = checkpoint.load(best_path(run))
    checkpoint.assign(variables, _within(arrays, prefix), best_path(run))
    return len(variables)


def assign_encoders(model, runs):
    """Gives `model` the encoders that other runs have trained.

    Args:
        model: a `CSTM` with the encoders named in `runs`.
        runs: dict of layer prefix (`"spatial_"`, `"temporal_"`) to run
            directory. Taken are its best checkpoint's variables of layers so
            named, and its word vectors, which must agree between the runs.

    Raises:
        UserError: a run's encoder has another architecture, or the word
            vectors of two runs differ.
    """
    variables = model_variables(model)
    words = {p: v for p, v in variables.items() if p.startswith(WORD_VECTORS)}
    found = {}
    for prefix, run in runs.items():
        path = best_path(run)
        arrays, _ = checkpoint.load(path)
        checkpoint.assign(
            _within(variables, prefix), _within(arrays, prefix), path
        )
        vectors = _within(arrays, WORD_VECTORS)
        checkpoint.assign(words, vectors, path)
        for other, theirs in found.items():
            if any(not np.array_equal(vectors[k], theirs[k]) for k in vectors):
                raise UserError(
                    f"the word vectors of {run} differ from those of {other}; "
                    "train both from the same --word_vectors, with "
                    "--notrain_embeddings"
                )
        found[run] = vectors


def _within(mapping, prefix):
    return {k: v for k, v in mapping.items() if k.startswith(prefix)}
