"""How the page is laid out, and which event calls which handler."""

import gradio as gr

from keras_vas.page import fragments, widgets
from keras_vas.page.finding import EVERY
from keras_vas.page.gate import VISITOR
from keras_vas.page.handlers import Handlers, Shown
from keras_vas.page.style import CSS

TITLE = "Find the actor"
_DECODING_AT_ONCE = 2


def build(predictor, visits, inbox, samples, limits):
    """The page; the arguments are those of `Handlers`.

    Returns:
        `gr.Blocks`.
    """
    on = Handlers(predictor, visits, inbox, samples, limits)
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(
            f"<h1>{TITLE}</h1><p>Say in a sentence who or what you mean, and "
            "see it marked in every frame of a video.</p>",
            elem_id="vas-head",
        )
        with gr.Row(elem_id="vas-main"):
            with gr.Column(scale=2, min_width=300):
                upload = widgets.drop_area(limits)
                sample = widgets.sample_row(fragments.samples(samples))
                sentences = gr.Textbox(
                    label="Who are you looking for?",
                    info="One sentence a line; each gets its colour.",
                    placeholder="the dog running on the left",
                    lines=3,
                    max_lines=limits.sentences,
                    max_length=limits.sentences * (limits.letters + 1),
                    elem_id="vas-sentences",
                )
                every = gr.Dropdown(
                    [(_distance(n), n) for n in EVERY],
                    value=EVERY[0],
                    label="Look at",
                    elem_id="vas-every",
                )
                with gr.Row():
                    find = gr.Button("Find", variant="primary", scale=3)
                    stop = gr.Button("Stop", scale=1, min_width=80)
                status = gr.HTML("", elem_id="vas-status")
            with gr.Column(scale=3, min_width=300):
                with gr.Tabs():
                    with gr.Tab("Frames"):
                        frame = gr.HTML(fragments.NOTHING, elem_id="vas-frame")
                        slider = gr.Slider(
                            1,
                            2,
                            value=1,
                            step=1,
                            label="Frame",
                            visible=False,
                            elem_id="vas-slider",
                        )
                    with gr.Tab("Video"):
                        video = gr.HTML("", elem_id="vas-video")
                    with gr.Tab("Words", visible=predictor.model is not None):
                        gr.HTML(
                            "<p>Where each word of a sentence fits in the "
                            "frame that is shown: bright is best. Each picture "
                            "is stretched between its own smallest and largest "
                            "value.</p>"
                        )
                        sentence = gr.Dropdown(
                            [], label="Sentence", visible=False
                        )
                        attend = gr.Button("Show word attention")
                        stage = gr.Radio(
                            [], label="Where in the network", visible=False
                        )
                        words = gr.HTML("", elem_id="vas-words")
                download = gr.HTML("", elem_id="vas-download")
        parts = [
            *Shown(
                status=status,
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
        decoding = {
            "concurrency_id": "decoding",
            "concurrency_limit": _DECODING_AT_ONCE,
        }
        thinking = {"concurrency_id": "model", "concurrency_limit": 1}
        quick = {"concurrency_limit": 4, "show_progress": "hidden"}
        common = {"api_visibility": "private"}
        upload.upload(on.take_upload, None, parts, **decoding, **common)
        sample.select(on.take_sample, None, parts, **quick, **common)
        find.click(
            on.find,
            [sentences, every, slider],
            parts,
            show_progress="hidden",
            **thinking,
            **common,
        )
        stop.click(on.stop, None, None, **quick, **common)
        slider.input(
            on.show_frame,
            slider,
            parts,
            trigger_mode="always_last",
            **quick,
            **common,
        )
        attend.click(on.attend, [slider, sentence], parts, **thinking, **common)
        stage.input(on.show_stage, stage, parts, **quick, **common)
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
        theme=gr.themes.Soft(
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        css=CSS,
    )


class Queue:
    """What Gradio knows of the page's events.

    Args:
        page: what `build` returned, mounted.

    Attributes:
        events: list of the numbers under which they are asked for.
    """

    def __init__(self, page):
        self.events = list(page.fns)
        self._events = page._queue.event_ids_to_events

    def waiting(self):
        """List of `Visitor`s, one for every event that is not done."""
        return [x.request.scope[VISITOR] for x in self._events.values()]


def _distance(every):
    if every == 1:
        return "every frame"
    return f"every {every}{'nd' if every == 2 else 'th'} frame (faster)"
