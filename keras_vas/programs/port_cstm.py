r"""Makes a run of the checkpoint that CSTM's authors published.

    python -m keras_vas.programs.port_cstm --checkpoint=checkpoint.pth.tar \
        --vocabulary=vocabulary.txt --word_vectors=glove.840B.300d.txt \
        --workdir=RUN

The network is another than the paper's: --model=cstm_authors of train.py. RUN
is a run directory: evaluate, export and segment with it.
"""

import pathlib

from absl import flags

from keras_vas import command_line, files
from keras_vas.data.text import word_vectors
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.errors import UserError
from keras_vas.models import registry
from keras_vas.models.segmentation_model import WORD_VECTORS
from keras_vas.models.variables import model_variables
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.weights import torch_file

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "File of the authors' checkpoint, checkpoint.pth.tar.",
    required=True,
)
_VOCABULARY = flags.DEFINE_string(
    "vocabulary",
    None,
    "File vocabulary.txt of tfrecords/build_vocabulary.py or of a run: the "
    "words that the model will know.",
    required=True,
)
_WORD_VECTORS = flags.DEFINE_string(
    "word_vectors",
    None,
    "File of the word vectors that the authors trained with, GloVe 840B 300-d.",
    required=True,
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run directory to make.", required=True
)
_ARCHITECTURE = "cstm_authors"
_SIDE = 320  # pixels, of the authors' frames
_TRAINED_ON = {
    "dataset": "a2d_sentences",
    "splits": {"train": {"videos": 3017, "queries": 5358}},
}


def main(_):
    """Ports the checkpoint that the flags name."""
    workdir = pathlib.Path(_WORKDIR.value)
    if run_directory.is_run(workdir):
        raise UserError(f"--workdir={workdir} is a run; name a new folder")
    state = torch_file.read(_CHECKPOINT.value)
    model_class = registry.model_class(_ARCHITECTURE)
    arguments, arrays = model_class.port(state, _CHECKPOINT.value)
    vocabulary = Vocabulary.load(_VOCABULARY.value)
    vectors, missing = word_vectors.load(
        _WORD_VECTORS.value, vocabulary, arguments["embedding_dim"]
    )
    model = model_class(vocabulary_size=len(vocabulary), **arguments)
    arrays[f"{WORD_VECTORS}/embeddings"] = vectors
    checkpoint.assign(model_variables(model), arrays, _CHECKPOINT.value)
    workdir.mkdir(parents=True, exist_ok=True)
    with files.lock(workdir):
        best = run_directory.best_path(workdir)
        best.parent.mkdir(exist_ok=True)
        checkpoint.save(
            best, arrays, {"step": 0, "epoch": 0, "training_only": []}
        )
        run_directory.start(
            workdir,
            flags={"frame_height": _SIDE, "frame_width": _SIDE},
            architecture=_ARCHITECTURE,
            model=model.inference_config(),
            data_manifest=_TRAINED_ON,
            words=vocabulary.words,
        )
    print(
        f"{len(arrays)} arrays, {len(vocabulary.words)} words, of which "
        f"{len(missing)} have no vector; written to {workdir}"
    )


if __name__ == "__main__":
    command_line.run(main)
