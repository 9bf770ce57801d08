"""A local server that speaks the REST protocol of TensorFlow Serving.

For development and tests; `serving/README.md` says what it leaves out. Built
on Tornado, whose event loop holds slow clients without a thread for each.
"""

import asyncio
import concurrent.futures
import json
import logging
import re
import threading

import tornado.httpserver
import tornado.netutil
import tornado.web

from keras_vas.errors import UserError
from keras_vas.serving.local_server import json_tensors, servables
from keras_vas.serving.local_server.request_error import RequestError

MAX_REQUEST_BYTES = 64 << 20
TIMEOUT_SECONDS = 120.0
PATIENCE_SECONDS = 60.0

_LOG = logging.getLogger(__name__)
_THREADS = 4
_MAX_WAITING = 100
# how many requests of the largest size may be in memory at once
_HELD_REQUESTS = 4
# a body that is too large is read to its end up to this many times the limit,
# so that its sender can read the reason
_DISCARDED = 4
_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(_MODEL + ":(classify|regress|predict)", re.IGNORECASE)
_STATUS = re.compile(_MODEL + "(/metadata)?", re.IGNORECASE)
_NO_MODEL = re.compile("/v1/models(/metadata)?", re.IGNORECASE)


class LocalServer:
    """Serves models in a thread of its own; a context manager.

    Args:
        models: list of `servables.Model`.
        address: address to bind to.
        port: port to bind to; 0 for any free one.
        max_request_bytes: longest body of a request.
        max_batch_size: largest first dimension of an input.
        timeout: seconds until a request is answered with 504.
        patience: seconds within which a client must send its request, and
            take its answer.
        poll_seconds: how often the folders are searched for new versions.

    Attributes:
        url: address of the server, such as "http://127.0.0.1:8501", once it
            has been started.
    """

    def __init__(
        self,
        models,
        *,
        address="127.0.0.1",
        port=0,
        max_request_bytes=MAX_REQUEST_BYTES,
        max_batch_size=servables.MAX_BATCH_SIZE,
        timeout=TIMEOUT_SECONDS,
        patience=PATIENCE_SECONDS,
        poll_seconds=1.0,
    ):
        self.models = {model.name: model for model in models}
        self.url = None
        self.max_request_bytes = max_request_bytes
        self.max_batch_size = max_batch_size
        self.timeout = timeout
        self.patience = patience
        self.answering = 0
        self._address = address
        self._port = port
        self._poll_seconds = poll_seconds
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS)
        self._places = threading.BoundedSemaphore(_MAX_WAITING)
        self._held_bytes = 0
        self._thread = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Loads the models and accepts requests.

        Raises:
            UserError: a model cannot be loaded, or the port is taken.
        """
        for model in self.models.values():
            model.refresh()
            if not model.loaded():
                reasons = "; ".join(model.reasons()) or "no such version"
                raise UserError(
                    f"cannot load any version of {model.path}: {reasons}"
                )
        try:
            sockets = tornado.netutil.bind_sockets(self._port, self._address)
        except OSError as error:
            raise UserError(
                f"cannot listen at {self._address} port {self._port}: "
                f"{error.strerror}; give another --port or --address"
            ) from error
        host = f"[{self._address}]" if ":" in self._address else self._address
        self.url = f"http://{host}:{sockets[0].getsockname()[1]}"
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(sockets, ready)),
            name="serving",
        )
        self._thread.start()
        ready.wait()

    def stop(self, grace=10.0):
        """Accepts no more, finishes what is being answered, and ends.

        Args:
            grace: seconds until what is not finished is cut off.
        """
        if self._thread is not None:
            self._grace = grace
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=2 * grace)
            self._thread = None
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, sockets, ready):
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        application = tornado.web.Application(
            [(".*", _Handler, {"server": self})], log_function=_log_request
        )
        server = tornado.httpserver.HTTPServer(
            application,
            max_body_size=_DISCARDED * self.max_request_bytes,
            idle_connection_timeout=self.patience,
            body_timeout=self.patience,
        )
        server.add_sockets(sockets)
        polling = asyncio.create_task(self._poll())
        ready.set()
        await self._stopping.wait()
        polling.cancel()
        server.stop()
        end = self._loop.time() + self._grace
        while self.answering and self._loop.time() < end:
            await asyncio.sleep(0.02)
        await server.close_all_connections()

    async def _poll(self):
        loader = concurrent.futures.ThreadPoolExecutor(1)
        try:
            while True:
                await asyncio.sleep(self._poll_seconds)
                for model in self.models.values():
                    try:
                        await self._loop.run_in_executor(loader, model.refresh)
                    except OSError as error:
                        _LOG.warning("cannot search %s: %s", model.path, error)
        finally:
            loader.shutdown(wait=False, cancel_futures=True)

    def model(self, name, unknown):
        """Returns a model by its name, or raises `unknown(name)`."""
        if name not in self.models:
            raise unknown(name)
        return self.models[name]

    def hold(self, size):
        """Takes `size` bytes into memory, unless there are too many there.

        Args:
            size: number of bytes; negative to let them go.

        Returns:
            Whether they may be held.
        """
        limit = _HELD_REQUESTS * self.max_request_bytes
        if size > 0 and self._held_bytes + size > limit:
            return False
        self._held_bytes += size
        return True

    async def predict(self, name, number, label, body):
        """Answers a request to predict; returns the answer as `bytes`."""
        if not self._places.acquire(blocking=False):
            raise too_busy()
        work = self._pool.submit(self._predict, name, number, label, body)
        work.add_done_callback(lambda _: self._places.release())
        try:
            return await asyncio.wait_for(
                asyncio.wrap_future(work), self.timeout
            )
        except TimeoutError as error:
            raise RequestError(
                f"no result within {self.timeout:g} seconds",
                "DEADLINE_EXCEEDED",
            ) from error

    def _predict(self, name, number, label, body):
        document = json_tensors.parse(body)
        model = self.model(name, lambda n: servables.not_found(n, number))
        version = model.find(number, label)
        signature = (
            document.get("signature_name") or json_tensors.DEFAULT_SIGNATURE
        )
        specs = version.inputs(signature)
        tensors, by_rows = json_tensors.read_inputs(document, specs)
        outputs = version.run(signature, tensors, self.max_batch_size)
        return json_tensors.write_outputs(outputs, by_rows)


def too_busy():
    """Returns the error for a request that has to wait too long."""
    return RequestError(
        "the server has too many requests waiting; try again later",
        "UNAVAILABLE",
    )


@tornado.web.stream_request_body
class _Handler(tornado.web.RequestHandler):
    """One request, whatever its path and method."""

    def initialize(self, server):
        self._server = server
        self._chunks = []
        self._size = 0
        self._held = 0
        self._busy = False

    def set_default_headers(self):
        self.set_header("Content-Type", "application/json")
        self.clear_header("Server")

    def prepare(self):
        length = self.request.headers.get("Content-Length", "")
        limit = _DISCARDED * self._server.max_request_bytes
        if length.isdecimal() and int(length) > limit:
            self._refuse(self._too_large())

    def data_received(self, chunk):
        self._size += len(chunk)
        if self._size > self._server.max_request_bytes or self._busy:
            self._let_go()
        elif self._server.hold(len(chunk)):
            self._held += len(chunk)
            self._chunks.append(chunk)
        else:
            self._busy = True
            self._let_go()

    async def _answer(self):
        self._server.answering += 1
        try:
            await self._send(await self._respond())
        except RequestError as error:
            self._refuse(error)
        finally:
            self._server.answering -= 1

    head = get = post = put = delete = patch = options = _answer

    async def _send(self, answer):
        self.write(answer)
        try:
            await asyncio.wait_for(self.finish(), self._server.patience)
        except TimeoutError:
            self.request.connection.close()

    async def _respond(self):
        if self._size > self._server.max_request_bytes:
            raise self._too_large()
        if self._busy:
            raise too_busy()
        method, path = self.request.method, self.request.path
        if not path.lower().startswith("/v1/"):
            raise RequestError(f"Not Found: {path}", "NOT_FOUND")
        if method == "POST" and (match := _PREDICT.fullmatch(path)):
            name, number, label, verb = match.groups()
            number = _version_number(number)
            if verb.lower() == "predict":
                body = b"".join(self._chunks)
                self._chunks.clear()
                return await self._server.predict(name, number, label, body)
            self._server.model(
                name, lambda n: servables.not_found(n, number)
            ).find(number, label)
            verb = verb.lower()
            kind = {"classify": "classification", "regress": "regression"}[verb]
            raise RequestError(
                f"Expected {kind} signature method_name to be tensorflow/"
                f"serving/{verb}. Was: tensorflow/serving/predict"
            )
        if method == "GET" and (match := _STATUS.fullmatch(path)):
            name, number, label, metadata = match.groups()
            number = _version_number(number)
            if metadata:
                model = self._server.model(
                    name, lambda n: servables.not_found(n, number)
                )
                return json.dumps(model.metadata(number, label))
            model = self._server.model(name, servables.no_versions)
            return json.dumps(model.status(number, label))
        if method == "GET" and _NO_MODEL.fullmatch(path):
            raise RequestError("Missing model name in request.")
        raise RequestError(f"Malformed request: {method} {path}")

    def _too_large(self):
        return RequestError(
            "the request is larger than "
            f"{self._server.max_request_bytes} bytes; send smaller frames, "
            "fewer at once, or start the server with a larger "
            "--max_request_bytes",
            http_status=413,
        )

    def _let_go(self):
        self._chunks.clear()
        self._server.hold(-self._held)
        self._held = 0

    def _refuse(self, error):
        self.set_status(error.http_status)
        self.finish(json.dumps({"error": error.message}))

    def write_error(self, status_code, **_):
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": self._reason}))

    def on_finish(self):
        self._let_go()

    def on_connection_close(self):
        self._let_go()
        super().on_connection_close()


def _version_number(text):
    if text is None:
        return None
    number = int(text) if len(text) <= 19 else 1 << 63
    if number >= 1 << 63:
        raise RequestError(f"Failed to convert version: {text} to numeric.")
    return number


def _log_request(handler):
    if handler.get_status() >= 400:
        _LOG.warning(
            "%d %s %s",
            handler.get_status(),
            handler.request.method,
            handler.request.path,
        )
