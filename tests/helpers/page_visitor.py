"""The page's server as a user starts it, and a visitor without a browser."""

import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
from patience import SECONDS

SENTENCE = "the bright square"
SIZE = (64, 128)


class Server:
    """`python -m keras_vas.app` in a process of its own.

    Args:
        repository: folder to start it in.
        temporary: folder for its temporary files.
        **flags: of the program.
    """

    def __init__(self, repository, temporary, **flags):
        self.temporary, self.flags = temporary, flags
        self._log = open(temporary / "log", "w+")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-um",
                "keras_vas.app",
                "--port=0",
                *(f"--{name}={value}" for name, value in flags.items()),
            ],
            cwd=repository,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "TMPDIR": str(temporary),
                "TF_CPP_MIN_LOG_LEVEL": "2",
            },
        )
        self.url = wait_for(self._printed_url)

    def _printed_url(self):
        text = self.log()
        assert self._process.poll() is None, text
        found = re.search(r"The page is at (\S+)", text)
        return found and found[1]

    def log(self):
        """What the server has printed."""
        self._log.flush()
        return open(self._log.name).read()

    def files(self):
        """Names of all its temporary files, but for the samples."""
        root = next(self.temporary.glob("keras_vas_page_*"))
        # os.walk does not mind files that go while it looks
        found = (
            (pathlib.Path(folder) / name).relative_to(root)
            for folder, _, names in os.walk(root)
            for name in names
        )
        return [
            str(path)
            for path in found
            if path.name != ".lock" and path.parts[0] != "samples"
        ]

    def stop(self, number=signal.SIGTERM):
        """Ends it; returns its status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(SECONDS)


class Visitor:
    """Speaks to the page as its own JavaScript does.

    Args:
        url: of the page.
        session: name of the session; a new one by default.
    """

    def __init__(self, url, session=None):
        import httpx  # comes with Gradio

        self.client = httpx.Client(base_url=url, timeout=SECONDS)
        self.client.get("/").raise_for_status()
        self.session = session or secrets.token_hex(5)
        config = self.client.get("/config").json()
        self._ids = {
            part["id"]: part["props"].get("elem_id")
            or part["props"].get("value")
            for part in config["components"]
        }
        self._events = {
            (self._ids.get(target), event): function
            for function in config["dependencies"]
            for target, event in function["targets"]
        }

    def join(self, part, event, data=(), event_data=None):
        """Sends an event; returns the response."""
        function = self._events[part, event]
        queued = function["queue"] is not False
        return self.client.post(
            "/gradio_api/" + ("queue/join" if queued else "run/predict"),
            json={
                "data": list(data),
                "event_data": event_data,
                "fn_index": function["id"],
                "trigger_id": function["targets"][0][0],
                "session_hash": self.session,
            },
        )

    def call(self, part, event, data=(), event_data=None):
        """Sends an event; returns dict of the parts' last values."""
        answer = self.join(part, event, data, event_data).raise_for_status()
        outputs = self._events[part, event]["outputs"]
        if "data" in answer.json():
            return {
                self._ids[output]: value
                for output, value in zip(
                    outputs, answer.json()["data"], strict=True
                )
            }
        values = {}
        query = {"session_hash": self.session}
        with self.client.stream(
            "GET", "/gradio_api/queue/data", params=query
        ) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                if message["msg"] == "process_completed":
                    assert message["success"], message
                    new = message["output"].get("data", [])
                    for output, value in zip(outputs, new, strict=False):
                        if not isinstance(value, dict):
                            values[self._ids[output] or output] = value
                    return values
                if message["msg"] == "close_stream":
                    return values
        raise AssertionError("the stream ended")

    def send(self, data, name="clip.mp4"):
        """Sends a file; returns the response, whose text is a ticket."""
        return self.client.post("/upload", params={"name": name}, content=data)

    def open(self, data, name="clip.mp4"):
        """Sends a file and opens it; returns the status line."""
        ticket = self.send(data, name)
        assert ticket.status_code == 200, ticket.text
        return self.open_ticket(ticket.text)

    def open_ticket(self, ticket):
        """Opens a file that was sent; returns the status line."""
        sent = {"ticket": ticket}
        return self.call("vas-upload", "upload", (), sent)["vas-status"]

    def find(self, text, every=1):
        """Presses "Find"; returns dict of the parts' last values."""
        return self.call("Find", "click", [text, every, 1])


def wait_for(ask, seconds=SECONDS):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def write_video(path, frames, size=SIZE, fps=10.0):
    """Writes a video of a bright square that moves over a dark slope."""
    height, width = size
    slope = np.linspace(20, 90, width).astype(np.uint8)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"vp09"), fps, (width, height)
    )
    for i in range(frames):
        image = np.repeat(np.tile(slope, (height, 1))[..., None], 3, axis=2)
        x = width // 8 + i * width // 32
        image[height // 4 : height // 2, x : x + height // 4] = 230
        writer.write(image)
    writer.release()
    return path
