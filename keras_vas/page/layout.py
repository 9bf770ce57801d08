"""How the page is laid out, and which event calls which handler."""

import html

import gradio as gr

from keras_vas.page import fragments, widgets
from keras_vas.page.finding import EVERY
from keras_vas.page.gate import VISITOR
from keras_vas.page.handlers import FRAMES, VIDEO, Handlers, Shown
from keras_vas.page.style import CSS, theme

TITLE = "Find the actor"
_DECODING_AT_ONCE = 2


def build(predictor, visits, inbox, samples, limits):
    """The page.

    Args:
        predictor: `predictor.Predictor`.
        visits: `Visits`.
        inbox: `Inbox`.
        samples: `samples.Samples`.
        limits: `Limits`.

    Returns:
        `gr.Blocks`.
    """
    on = Handlers(predictor, visits, inbox, samples.clips, limits)
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(
            f"<h1>{TITLE}</h1><p>Say in a sentence who or what you mean, and "
            "see it marked in every frame of a video.</p>"
            f"<p>The model: {html.escape(str(predictor.about))}</p>",
            elem_id="vas-head",
        )
        with gr.Row(elem_id="vas-main"):
            with gr.Column(scale=2, min_width=300):
                upload = widgets.drop_area(limits)
                sample = widgets.sample_row(
                    samples.title, fragments.samples(samples.clips)
                )
                sentences = gr.Textbox(
                    label="Who are you looking for?",
                    info="One sentence a line; each gets its colour.",
                    placeholder=samples.clips[0].sentences[0],
                    lines=3,
                    max_lines=limits.sentences,
                    max_length=limits.sentences * (limits.letters + 1),
                    elem_id="vas-sentences",
                )
                hint = gr.HTML("", elem_id="vas-hint")
                every = gr.Radio(
                    [(_distance(n), n) for n in EVERY],
                    value=EVERY[0],
                    label="Look at every",
                    info="The fewer frames, the faster.",
                    elem_id="vas-every",
                )
                with gr.Row():
                    find = gr.Button("Find", variant="primary", scale=3)
                    stop = gr.Button("Stop", scale=1, min_width=80)
                status = widgets.live("vas-status")
            with gr.Column(scale=3, min_width=300):
                with gr.Tabs() as tabs:
                    with gr.Tab("Frames", id=FRAMES):
                        frame = gr.HTML(fragments.NOTHING, elem_id="vas-frame")
                        slider = gr.Slider(
                            1,
                            2,
                            value=1,
                            step=1,
                            label="Frame",
                            visible=False,
                            buttons=[],
                            elem_id="vas-slider",
                        )
                    with gr.Tab("Video", id=VIDEO):
                        video = gr.HTML(fragments.NO_VIDEO, elem_id="vas-video")
                    with gr.Tab("Words", visible=predictor.model is not None):
                        gr.HTML(
                            "<p>Where each word of a sentence fits in the "
                            "frame that is shown: bright is best. Each picture "
                            "is stretched between its own smallest and largest "
                            "value.</p>"
                        )
                        sentence = gr.Radio(
                            [],
                            label="Sentence",
                            visible=False,
                            elem_id="vas-sentence",
                        )
                        attend = gr.Button("Show word attention")
                        stage = gr.Radio(
                            [],
                            label="Where in the network",
                            visible=False,
                            elem_id="vas-stage",
                        )
                        words = gr.HTML("", elem_id="vas-words")
                download = gr.HTML("", elem_id="vas-download")
        parts = [
            *Shown(
                status=status,
                tabs=tabs,
                frame=frame,
                slider=slider,
                sentences=sentences,
                video=video,
                download=download,
                sentence=sentence,
                stage=stage,
                words=words,
            )
        ]
        common = {"api_visibility": "private"}
        decoding = {
            "concurrency_id": "decoding",
            "concurrency_limit": _DECODING_AT_ONCE,
            **common,
        }
        hidden = {"show_progress": "hidden", **common}
        thinking = {"concurrency_id": "model", "concurrency_limit": 1, **hidden}
        quick = {"concurrency_limit": 4, **hidden}
        latest = {"trigger_mode": "always_last", **quick}
        upload.upload(on.take_upload, None, parts, **decoding)
        sample.select(on.take_sample, None, parts, **quick)
        # Gradio loses an event that joins the queue as its last one ends, and
        # who has typed a sentence is soon to press Find.
        sentences.change(on.check, sentences, hint, queue=False, **latest)
        find.click(on.find, [sentences, every, slider], parts, **thinking)
        stop.click(on.stop, None, None, **quick)
        slider.input(on.show_frame, slider, parts, **latest)
        attend.click(on.attend, [slider, sentence], parts, **thinking)
        stage.input(on.show_stage, stage, parts, **quick)
        page.unload(on.leave)
    return page.queue(max_size=limits.requests, api_open=False)


def mount(app, page, limits):
    """Mounts the page at the root of an application.

    Args:
        app: `fastapi.FastAPI` with the routes beside it.
        page: what `build` returned.
        limits: `Limits`.

    Returns:
        The application.
    """
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        show_error=False,
        max_file_size=limits.megabytes * 2**20,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        theme=theme(),
        css=CSS,
        js=widgets.GROUP_RADIOS,
    )


class Queue:
    """What Gradio knows of the page's events.

    Args:
        page: what `build` returned, mounted.

    Attributes:
        events: list of the numbers under which they are asked for.
        check: number of the one that does without the queue.
    """

    def __init__(self, page):
        self.events = [n for n, event in page.fns.items() if event.queue]
        (self.check,) = page.fns.keys() - set(self.events)
        self._events = page._queue.event_ids_to_events

    def waiting(self):
        """List of `Visitor`s, one for every event that is not done."""
        return [x.request.scope[VISITOR] for x in self._events.values()]


def _distance(every):
    if every == 1:
        return "frame"
    return f"{every}{'nd' if every == 2 else 'th'}"
