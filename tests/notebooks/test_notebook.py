"""notebooks/segment_a_video.ipynb, run from top to bottom on tiny models."""

import base64
import contextlib
import importlib.util
import io
import itertools
import json
import os
import re
import types

import cv2
import keras
import nbclient
import nbformat
import numpy as np
import patience
import pytest
import tensorflow as tf
from IPython.core.inputtransformer2 import TransformerManager

from keras_vas.data import transforms
from keras_vas.data.moving_actors import drawing
from keras_vas.data.text.vocabulary import Vocabulary
from keras_vas.models import variables
from keras_vas.models.cstm.cstm import CSTM
from keras_vas.runs import checkpoint
from keras_vas.runs import run as run_directory
from keras_vas.video.reader import open_video

SIZE = 64
DRAWN = 256
CLIP = 5
TARGET = 4
GAP = 3


@pytest.fixture(scope="module")
def path(repository):
    return repository / "notebooks" / "segment_a_video.ipynb"


@pytest.fixture(scope="module")
def clip():
    return drawing.draw_clip(0, "test", CLIP, height=DRAWN, width=DRAWN)


def logits(model, vocabulary, clip, sentence):
    """The bare network's answer about a drawn clip, at its own size."""
    frames = transforms.letterbox(tf.constant(clip.frames), SIZE, SIZE)
    tokens = vocabulary.encode([sentence.text])
    outputs = model({"frames": frames[None], "tokens": tokens}, training=False)
    return outputs["mask_logits"].numpy()


def write_run(run, encoders, vocabulary, clip):
    """A run directory of an untrained model, as train.py leaves it.

    Its masks of the clip cover about half of the picture.
    """
    model = CSTM(
        vocabulary_size=len(vocabulary),
        encoders=encoders,
        spatial_backbone="resnet50",
        coordinate_fusion="linear",
        width=0.0625,
        decoder_channels=8,
        embedding_dim=8,
    )
    found = logits(model, vocabulary, clip, clip.sentences[0])
    model.get_layer("decoder_head_1_logits").bias.assign([-np.median(found)])
    run.mkdir()
    vocabulary.save(run / "vocabulary.txt")
    flags = {"frame_height": SIZE, "frame_width": SIZE, "data": "records"}
    config = {"flags": flags, "model": model.get_config()}
    (run / "config.json").write_text(json.dumps(config))
    arrays = checkpoint.read(variables.model_variables(model))
    metadata = {"training_only": [], "best": 0.0}
    checkpoint.save(run_directory.best_path(run), arrays, metadata)
    return model


@pytest.fixture(scope="module")
def run_once(path, clip, tmp_path_factory):
    """The notebook after a run of all its cells; the temporal run exists.

    Returns:
        Its cells by id, the two models (both encoders, the temporal one),
        the vocabulary and the output folder.
    """
    folder = tmp_path_factory.mktemp("notebook")
    vocabulary = Vocabulary.build([x.text for x in clip.sentences])
    keras.utils.set_random_seed(1)
    models = (
        write_run(folder / "tiny", "both", vocabulary, clip),
        write_run(folder / "tiny-temporal", "temporal", vocabulary, clip),
    )
    notebook = nbformat.read(path, as_version=4)
    own = {
        "KERAS_VAS_RUN": folder / "tiny",
        "KERAS_VAS_OUTPUT": folder / "output",
        "IPYTHONDIR": folder / "ipython",
        "KERAS_BACKEND": "tensorflow",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, str(value))
        for name in ("SPATIAL", "TEMPORAL"):
            patch.delenv(f"KERAS_VAS_RUN_{name}", raising=False)
        nbclient.NotebookClient(
            notebook,
            timeout=patience.SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()
    cells = {cell.id: cell for cell in notebook.cells}
    return cells, models, vocabulary, folder / "output"


def printed(cell):
    """What the cell wrote to its standard output."""
    return "".join(
        output.text
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )


def pictures(cell, kind="image/png"):
    """The bytes of the pictures that the cell shows."""
    return [
        base64.b64decode(output.data[kind])
        for output in cell.outputs
        if kind in output.get("data", {})
    ]


def decoded(png):
    """RGB `(height, width, 3)`."""
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)


def tile(picture, row, column, rows, columns, size):
    """One square of a picture that is a table of titled squares."""
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    assert width == size + 2 * GAP
    bottom, left = (row + 1) * height - GAP, column * width + GAP
    return picture[bottom - size : bottom, left : left + size]


def expected_mask(model, vocabulary, clip, sentence):
    """Probabilities at the drawn size, from the bare network."""
    probabilities = tf.sigmoid(logits(model, vocabulary, clip, sentence))
    full = transforms.unletterbox(probabilities, DRAWN, DRAWN)
    return full.numpy()[0, ..., 0]


def test_the_notebook_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) >= 7
    assert all(not cell.outputs for cell in cells)
    assert all(cell.execution_count is None for cell in cells)


def test_it_shows_the_masks_of_the_bare_network(run_once, clip):
    cells, (model, _), vocabulary, output = run_once
    number = len(clip.sentences)
    text = printed(cells["masks"])
    assert f"masks: (8, {number}, {DRAWN}, {DRAWN})" in text
    (png,) = pictures(cells["masks"])
    picture = decoded(png)
    frame = clip.frames[TARGET]
    for i, sentence in enumerate(clip.sentences):
        mask = expected_mask(model, vocabulary, clip, sentence) > 0.5
        assert 0.1 < mask.mean() < 0.9
        truth = clip.masks[sentence.actor]
        iou = (mask & truth).sum() / (mask | truth).sum()
        _, rest = text.split(f"{sentence.text!r}: score ")
        pixels, said = re.search(r"(\d+) pixels \(IoU (.+)\)", rest).groups()
        assert int(pixels) == pytest.approx(mask.sum(), abs=9)
        assert float(said) == pytest.approx(iou, abs=0.006)
        saved = sorted((output / "clip" / "masks").glob(f"{i + 1}_*/00009.png"))
        saved = cv2.imread(str(saved[0]), cv2.IMREAD_GRAYSCALE)
        assert np.mean((saved > 0) != mask) < 1e-4
        shown = tile(picture, 0, i, 1, number, DRAWN)
        assert (shown != frame).any(axis=-1)[mask].mean() > 0.95
        around = [
            cv2.dilate(x.astype(np.uint8), np.ones((9, 9)))
            for x in (mask, truth)
        ]
        free = ~(around[0] | around[1]).astype(bool)
        grey = frame @ [0.299, 0.587, 0.114]
        dimmed = 0.25 * frame + 0.25 * grey[..., None]
        np.testing.assert_allclose(shown[free], dimmed[free], atol=1.5)


def test_it_plays_the_clip_with_the_masks(run_once, clip):
    cells, _, _, output = run_once
    (gif,) = pictures(cells["video"], "image/gif")
    found, animation = cv2.imdecodeanimation(np.frombuffer(gif, np.uint8))
    assert found
    assert len(animation.frames) == len(clip.frames) == 8
    assert animation.frames[0].shape[1] == DRAWN
    assert np.std(animation.frames[0]) > 10
    assert np.any(animation.frames[0] != animation.frames[7])
    listed = printed(cells["video"]).split()
    for name in ("overlay.mp4", "masks.json", "contact_sheet.png"):
        assert name in listed
        assert (output / "clip" / name).stat().st_size


def test_it_shows_the_attention_of_every_word_and_stage(run_once, clip):
    cells, *_ = run_once
    words = len(clip.sentences[0].text.split())
    found = re.findall(
        r"(spatial|temporal) encoder, stage (\d): \((\d+), (\d+), (\d+)\)"
        r".*?(-?[\d.]+) to (-?[\d.]+)",
        printed(cells["attention"]),
    )
    assert [x[:2] for x in found] == [
        (encoder, str(stage))
        for encoder in ("spatial", "temporal")
        for stage in range(1, 6)
    ]
    assert {tuple(map(int, x[2:5])) for x in found} == {(words, SIZE, SIZE)}
    shown = pictures(cells["attention"])
    assert len(shown) == 2
    for picture in map(decoded, shown):
        maps = [
            tile(picture, word, 1 + stage, words, 6, 128)
            for word in range(words)
            for stage in range(5)
        ]
        assert all(np.std(x) > 5 for x in maps)
        assert len({x.tobytes() for x in maps}) == len(maps)


def test_a_missing_encoder_is_named_and_not_drawn(run_once, clip, repository):
    cells, (_, temporal), vocabulary, _ = run_once
    text = printed(cells["encoders"])
    assert "no model with the spatial encoder alone in" in text
    assert "tiny-spatial,\nso it is not shown" in text
    assert "temporal" not in text
    commands = text.replace("\\\n", " ").split(".venv/bin/python train.py ")[1:]
    known = {"data", "workdir", "init_run", "encoders"}  # flags of train.py
    makefile = (repository / "Makefile").read_text()
    for command in commands:
        flags = dict(x[2:].split("=", 1) for x in command.split())
        assert flags["encoders"] == "spatial"
        assert (repository / flags.pop("flagfile")).is_file()
        assert flags["data"].replace("runs/demo", "$(DEMO)") in makefile
        assert flags.keys() <= known
    assert len(commands) == 2
    (png,) = pictures(cells["encoders"])
    # the frame, the temporal encoder alone, both, the truth
    rows = len(clip.sentences)
    squares = [
        tile(decoded(png), 0, column, rows, 4, DRAWN) for column in range(4)
    ]
    np.testing.assert_array_equal(squares[0], clip.frames[TARGET])
    mask = expected_mask(temporal, vocabulary, clip, clip.sentences[0]) > 0.5
    assert 0.1 < mask.mean() < 0.9
    changed = (squares[1] != squares[0]).any(axis=-1)
    assert changed[mask].mean() > 0.95
    assert np.any(squares[1] != squares[2])
    assert np.any(squares[3] != squares[0])


def test_the_saved_model_works_where_the_project_is_not(run_once, clip):
    cells, (model, _), vocabulary, output = run_once
    text = printed(cells["reload"])
    assert "import keras_vas: No module named 'keras_vas'" in text
    assert "modules of keras_vas that were loaded: 0" in text
    difference = re.search(r"mask of step 2: (\S+)", text)[1]
    assert float(difference) < 1e-4
    expected = expected_mask(model, vocabulary, clip, clip.sentences[0])
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(
        np.load(output / "mask.npy"), expected, atol=1e-4
    )


def test_a_video_of_ones_own(path, tmp_path):
    frames = np.random.default_rng(0).integers(
        0, 255, (60, 32, 48, 3), np.uint8
    )
    film = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(
        str(film), cv2.VideoWriter_fourcc(*"mp4v"), 25, (48, 32)
    )
    for frame in frames:
        writer.write(frame)
    writer.release()
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (cell for cell in notebook.cells if cell.id == "clip")
    code = cell.source.replace("VIDEO = None", f"VIDEO = {str(film)!r}")
    names = {
        "itertools": itertools,
        "moving_actors": drawing,
        "np": np,
        "open_video": open_video,
        "show": lambda rows: None,
        "titled": lambda *arguments: None,
    }
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        exec(code, names)
    assert names["frames"].shape == (49, 32, 48, 3)
    assert names["frames"].dtype == np.uint8
    assert names["truths"] is None
    assert names["sentences"] == ["the dog running on the left"]
    assert "49 frames of 48 x 32 pixels" in text.getvalue()


def test_without_a_run_it_says_what_to_do(path, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("KERAS_VAS_RUN", str(tmp_path / "nothing"))
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (cell for cell in notebook.cells if cell.id == "settings")
    with pytest.raises(FileNotFoundError, match="run `make demo` first"):
        exec(cell.source, {})


def test_where_the_package_is_missing_its_path_is_asked_for(path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (cell for cell in notebook.cells if cell.id == "install")
    code = TransformerManager().transform_cell(cell.source)
    monkeypatch.setenv("KERAS_VAS_RUN", "")  # put back when the test ends
    monkeypatch.delenv("KERAS_VAS_RUN")
    exec(code, {})
    assert "KERAS_VAS_RUN" not in os.environ
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="set PACKAGE"):
        exec(code, {})
    asked = []
    shell = types.SimpleNamespace(run_line_magic=lambda *x: asked.append(x))
    code = code.replace("PACKAGE = None", 'PACKAGE = "/content/x.whl"')
    exec(code, {"get_ipython": lambda: shell})
    assert asked == [("pip", "install --quiet {PACKAGE}")]
    assert os.path.isfile(os.environ["KERAS_VAS_RUN"] + "/config.json")
