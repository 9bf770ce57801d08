r"""A web page that finds what a sentence means in a video.

    python -m keras_vas.app --model=RUN

RUN is a preset, a run directory of train.py, a .keras file, or a SavedModel or
OpenVINO folder of export.py; all but such folders can show word attention.
Needs Gradio: pip install 'keras_vas[app]'. Ctrl-C ends it.

Only this computer can open the page unless --host says otherwise. What
visitors send is kept in a temporary folder, apart for each, and removed when
they close the page and when the program ends.
"""

from absl import flags

from keras_vas import command_line
from keras_vas.page import application
from keras_vas.page.limits import Limits
from keras_vas.prediction.options import Source

_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. Anyone who reaches it can use the page; there is "
    "no password and no encryption.",
)
_PORT = flags.DEFINE_integer(
    "port", 7860, "Port to listen on; 0 takes any that is free.", lower_bound=0
)
_PROXY = flags.DEFINE_string(
    "proxy",
    None,
    "Address of a proxy in front of the page, whose X-Forwarded-For is "
    "believed; without it, all who come through a proxy count as one address.",
)
_MAX_MEGABYTES = flags.DEFINE_integer(
    "max_megabytes",
    Limits.megabytes,
    "Largest file that may be sent.",
    lower_bound=1,
)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds",
    Limits.seconds,
    "How many seconds of a video are used.",
    lower_bound=0.1,
)
_MAX_FRAMES = flags.DEFINE_integer(
    "max_frames",
    Limits.frames,
    "How many frames of a video are used.",
    lower_bound=1,
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side",
    Limits.side,
    "Longer side of the frames in pixels; larger ones are scaled down.",
    lower_bound=32,
)


command_line.define_flags(Source)


def main(_):
    """Serves the page until it is interrupted."""
    limits = Limits(
        megabytes=_MAX_MEGABYTES.value,
        seconds=_MAX_SECONDS.value,
        frames=_MAX_FRAMES.value,
        side=_MAX_SIDE.value,
    )
    application.serve(
        command_line.build(Source),
        limits,
        _HOST.value,
        _PORT.value,
        _PROXY.value,
    )


if __name__ == "__main__":
    command_line.run(main)
