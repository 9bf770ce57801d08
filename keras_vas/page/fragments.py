"""What the page shows, as HTML; pictures are part of the text.

No picture is a file that could be asked for, and every text of a visitor is
escaped.
"""

import base64
import html

import cv2
import numpy as np

from keras_vas.data.records import schema
from keras_vas.page import gate
from keras_vas.page.finding import OVERLAY, ZIP
from keras_vas.pictures.overlay import draw, palette_for
from keras_vas.video.writer import VideoFile

_MAP_WIDTH = 240
_MAP_STRENGTH = 0.6
_SCORE = "how sure the model is that it is there at all, 0 to 1"

NOTHING = (
    '<div class="vas-empty"><p>Choose a video or a sample, say who you are '
    "looking for, and press <b>Find</b>.</p></div>"
)
NO_VIDEO = (
    '<div class="vas-empty"><p>Press <b>Find</b>, and the video comes here.'
    "</p></div>"
)


def message(text, kind="note"):
    """A line of text; `kind` is "note", "problem" or "done"."""
    role = ' role="alert"' if kind == "problem" else ""
    return f'<p class="vas-{kind}"{role}>{html.escape(text)}</p>'


def progress(done):
    """How far a `finding.Progress` is."""
    text = f"Frame {done.done} of {done.total}"
    if done.seconds:  # the first frame takes long and tells nothing
        rate = (done.done - 1) / done.seconds
        left = _duration((done.total - done.done) / rate)
        text += f" · {rate:.1f} frames/s · {left} left"
    return (
        f'<div aria-live="off"><p class="vas-note">{text}</p>'
        f'<progress class="vas-bar" max="{done.total}" value="{done.done}" '
        'aria-label="Frames"></progress></div>'
    )


def done(result):
    """How long a `finding.Result` took."""
    frames, seconds = len(result.found), result.seconds
    rate = frames / seconds
    return message(
        f"{frames} frames in {seconds:.1f} s ({rate:.1f} frames/s).", "done"
    )


def frame(clip, number, result=None):
    """A frame of a clip with what was found in it.

    Args:
        clip: `StoredClip`.
        number: of the frame, counted from 1.
        result: `finding.Result` or `None`.

    Returns:
        HTML.
    """
    image = clip.image(number)
    if result is None:
        return found_frame(clip, number, image, [], [], [])
    found = result.found
    index = min((number - 1) // result.every, len(found) - 1)
    masks, scores = found.mask(index), found.scores[index]
    return found_frame(clip, number, image, found.queries, masks, scores)


def found_frame(clip, number, image, sentences, masks, scores):
    """A frame with masks, and a legend.

    Args:
        clip: `StoredClip`.
        number: of the frame, counted from 1.
        image: the frame, uint8 RGB `(height, width, 3)`.
        sentences: list of str.
        masks: bool `(sentences, height, width)`.
        scores: float `(sentences,)`.

    Returns:
        HTML.
    """
    palette = palette_for(clip.image(1), len(sentences))
    size = VideoFile.size_for(*image.shape[:2])
    where = (
        f"frame {number} of {len(clip)} · {clip.times[number - 1]:.2f} s · "
        f"{clip.name}"
    )
    picture = _picture(draw(image, masks, palette, size), where)
    rows = []
    for text, colour, mask, score in zip(
        sentences, palette, masks, scores, strict=True
    ):
        share = 100 * mask.mean()
        place = f"{share:.1f} % of the picture" if share else "nothing marked"
        rows.append(
            f'<li><i style="background:rgb{colour}"></i>'
            f"<span>{html.escape(text)}</span>"
            f'<small title="{_SCORE}">score {score:.2f} · {place}</small></li>'
        )
    legend = f'<ul class="vas-legend">{"".join(rows)}</ul>' if rows else ""
    return (
        f'<figure class="vas-frame">{picture}'
        f"<figcaption>{html.escape(where)}</figcaption></figure>{legend}"
    )


def video(visit):
    """The overlay video of a visit's result."""
    return (
        f'<video class="vas-video" src="{_place(visit, OVERLAY)}" '
        'aria-label="The video with what was found" '
        "controls loop muted autoplay playsinline></video>"
    )


def download(visit):
    """Links to the files of a visit's result."""
    links = (
        f'<a href="{_place(visit, file)}" download="{file}">Download {what}</a>'
        for file, what in ((ZIP, "the masks"), (OVERLAY, "the video"))
    )
    return f'<p class="vas-files">{"".join(links)}</p>'


def _place(visit, file):
    return f"{gate.RESULTS[1:]}{visit.id}/{visit.result.id}/{file}"


def attention(words, maps, image):
    """One picture a word: the brighter, the better the word fits there.

    Args:
        words: list of str.
        maps: float32 `(words, height, width)`; each is stretched between its
            own smallest and largest value.
        image: the frame, uint8 RGB `(height, width, 3)`.

    Returns:
        HTML.
    """
    scale = _MAP_WIDTH / image.shape[1]
    size = (_MAP_WIDTH, max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    grey = np.repeat(small.mean(axis=2, keepdims=True), 3, axis=2)
    cells = []
    for word, attended in zip(words, maps, strict=True):
        strength = attended - attended.min()
        strength = strength / max(float(strength.max()), 1e-9)
        levels = np.round(255 * strength).astype(np.uint8)
        levels = cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)
        heat = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
        mixed = (1 - _MAP_STRENGTH) * grey + _MAP_STRENGTH * heat
        picture = _picture(np.round(mixed).astype(np.uint8), f"“{word}”")
        cells.append(
            f"<figure>{picture}"
            f"<figcaption>{html.escape(word)}</figcaption></figure>"
        )
    return f'<div class="vas-words">{"".join(cells)}</div>'


def samples(drawn):
    """Buttons with the middle frame and the sentences of each `Sample`."""
    buttons = []
    for index, sample in enumerate(drawn):
        middle = sample.clip.image(1 + len(sample.clip) // 2)
        text = f"{sample.clip.name}: {' / '.join(sample.sentences)}"
        buttons.append(
            f'<button type="button" data-sample="{index}" '
            f'title="{html.escape(text, quote=True)}">'
            f"{_picture(middle, text)}</button>"
        )
    return "".join(buttons)


def _picture(image, text):
    source = base64.b64encode(schema.encode_jpeg(image)).decode()
    return (
        f'<img src="data:image/jpeg;base64,{source}" '
        f'width="{image.shape[1]}" height="{image.shape[0]}" '
        f'alt="{html.escape(text, quote=True)}">'
    )


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
