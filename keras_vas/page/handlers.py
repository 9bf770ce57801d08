"""What happens when a visitor does something."""

import functools
from typing import Any, NamedTuple

import gradio as gr

from keras_vas.errors import UserError
from keras_vas.page import finding, fragments, gate
from keras_vas.page.decoding import decode

_CUT = {
    "seconds": "only the first {limits.seconds:g} s are used",
    "frames": "only the first {frames} frames are used",
    "megabytes": "only the first {frames} frames are used: they are so rich",
}


FRAMES, VIDEO = "frames", "video"


_FAILED = "The page has failed at this; what it has printed says why."


class Shown(NamedTuple):
    """What changes on the page; `None` leaves a part as it is."""

    status: Any = None
    tabs: Any = None
    frame: Any = None
    slider: Any = None
    sentences: Any = None
    video: Any = None
    download: Any = None
    sentence: Any = None
    stage: Any = None
    words: Any = None


def _reporting(handler):
    """Shows what a handler returns or yields, and a `UserError` as status."""

    def all_shown(*arguments):
        try:
            shown = handler(*arguments)
            yield from [shown] if isinstance(shown, Shown) else shown
        except UserError as error:
            yield Shown(fragments.message(str(error), "problem"))
        except Exception:
            yield Shown(fragments.message(_FAILED, "problem"))
            raise

    @functools.wraps(handler)
    def reported(*arguments):
        for shown in all_shown(*arguments):
            yield [gr.skip() if part is None else part for part in shown]

    return reported


class Handlers:
    """The page's events; each one answers with the parts of `Shown`.

    Args:
        predictor: `predictor.Predictor`.
        visits: `Visits`.
        inbox: `Inbox`.
        samples: list of `samples.Sample`.
        limits: `Limits`.
    """

    def __init__(self, predictor, visits, inbox, samples, limits):
        self._predictor, self._visits = predictor, visits
        self._inbox, self._samples, self._limits = inbox, samples, limits

    @_reporting
    def take_upload(self, request: gr.Request, event: gr.EventData):
        """Decodes the file that was sent."""
        sent = _sent(event)
        if "ticket" not in sent:
            raise UserError(str(sent.get("problem", "No file was sent."))[:200])
        with self._inbox.taken(_visitor(request), sent["ticket"]) as upload:
            visit = self._visit(request)
            with finding.work(visit):
                clip = decode(
                    upload.path, visit.new_folder(), upload.name, self._limits
                )
                return self._opened(visit, clip)

    @_reporting
    def take_sample(self, request: gr.Request, event: gr.EventData):
        """Opens one of the samples, with its sentences."""
        number = _sent(event).get("sample")
        if number not in range(len(self._samples)):
            raise UserError("There is no such sample.")
        sample = self._samples[int(number)]
        visit = self._visit(request)
        with finding.work(visit):
            shown = self._opened(visit, sample.clip)
        return shown._replace(sentences="\n".join(sample.sentences))

    def check(self, text):
        """What the model will not understand of the sentences."""
        try:
            lines = finding.sentences(text, self._limits) if text else []
            lines = self._predictor.warnings(lines)
        except UserError as error:
            lines = [str(error)]
        return "".join(map(fragments.message, lines))

    def _opened(self, visit, clip):
        visit.show(clip)
        if visit.closed:
            raise UserError("This visit has ended; reload the page.")
        height, width = clip.source_size
        text = f"{clip.name}: {len(clip)} frames of {width} x {height} pixels"
        if clip.size != clip.source_size:
            text += f", scaled to {clip.size[1]} x {clip.size[0]}"
        if clip.cut:
            cut = _CUT[clip.cut].format(limits=self._limits, frames=len(clip))
            text = f"{text}; the video is longer, {cut}"
        number = 1 + (len(clip) // 2 if len(clip) > 1 else 0)
        return Shown(
            status=fragments.message(text + "."),
            tabs=gr.update(selected=FRAMES),
            frame=fragments.frame(clip, number),
            slider=_slider(len(clip), number),
            video=fragments.NO_VIDEO,
            download="",
            sentence=_choice([]),
            stage=_choice([]),
            words="",
        )

    @_reporting
    def find(self, text, every, number, request: gr.Request):
        """Segments the clip, showing how far it is."""
        visit = self._current(request)
        lines = finding.sentences(text, self._limits)
        with finding.work(visit):
            clip, before = visit.clip, visit.result
            yield Shown(
                fragments.message("Looking …"), tabs=gr.update(selected=FRAMES)
            )
            for done in finding.find(self._predictor, visit, lines, every):
                one = done.last
                picture = fragments.found_frame(
                    clip,
                    one.number,
                    one.frame,
                    lines,
                    done.masks,
                    one.scores,
                )
                yield Shown(
                    fragments.progress(done),
                    frame=picture,
                    slider=gr.update(value=one.number),
                )
            result = visit.result
            if visit.closed:
                return
            if result is before:
                yield Shown(fragments.message("Stopped."))
                return
            number = _within(number, len(clip))
            yield Shown(
                status=fragments.done(result),
                tabs=gr.update(selected=VIDEO),
                frame=fragments.frame(clip, number, result),
                slider=_slider(len(clip), number),
                video=fragments.video(visit),
                download=fragments.download(visit),
                sentence=_choice(lines, lines[0]),
                stage=_choice([]),
                words="",
            )

    @_reporting
    def show_frame(self, number, request: gr.Request):
        """Turns to another frame."""
        visit = self._current(request)
        number = _within(number, len(visit.clip))
        return Shown(frame=fragments.frame(visit.clip, number, visit.result))

    @_reporting
    def attend(self, number, sentence, request: gr.Request):
        """Computes where the words of a sentence look in a frame."""
        visit = self._current(request)
        if visit.result is None:
            raise UserError("Find something first.")
        queries = visit.result.found.queries
        sentence = sentence if sentence in queries else queries[0]
        number = _within(number, len(visit.clip))
        with finding.work(visit):
            frames, place = visit.clip.around(number)
            maps = self._predictor.attention(frames, sentence, place)
            words = self._predictor.words(sentence)
            stages = {
                f"{encoder} encoder, stage {stage}": found
                for (encoder, stage), found in sorted(maps.items())
            }
            visit.maps = (words, stages, frames[place - 1])
        if not stages:
            raise UserError("This model has no stage that attends to words.")
        # fine enough to show places, deep enough to mean something
        encoder = max(encoder for encoder, _ in maps)
        own = sorted(stage for other, stage in maps if other == encoder)
        first = f"{encoder} encoder, stage {own[len(own) // 2]}"
        return Shown(
            stage=_choice(list(stages), first),
            words=self._words(visit, first),
        )

    @_reporting
    def show_stage(self, stage, request: gr.Request):
        """Shows the maps of another stage."""
        visit = self._current(request)
        if visit.maps is None or stage not in visit.maps[1]:
            return Shown()
        return Shown(words=self._words(visit, stage))

    def _words(self, visit, stage):
        words, stages, image = visit.maps
        return fragments.attention(words, stages[stage], image)

    def stop(self, request: gr.Request):
        """Stops the work for the visit, where there is some."""
        self._visits.stop(_visitor(request), request.session_hash)

    def leave(self, request: gr.Request):
        """Ends the visit: the page was closed."""
        self._visits.end(_visitor(request), request.session_hash)

    def _visit(self, request):
        return self._visits.open(_visitor(request), request.session_hash)

    def _current(self, request):
        return self._visits.current(_visitor(request), request.session_hash)


def _sent(event):
    return event._data if isinstance(event._data, dict) else {}


def _visitor(request):
    return request.request.scope[gate.VISITOR]


def _slider(frames, number):
    return gr.update(
        minimum=1,
        maximum=max(frames, 2),
        value=number,
        visible=frames > 1,
    )


def _choice(choices, value=None):
    return gr.update(choices=choices, value=value, visible=len(choices) > 1)


def _within(number, frames):
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise UserError("A frame is named by its number.")
    return round(min(max(1, number), frames))
