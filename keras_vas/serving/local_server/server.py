"""A local server with the REST interface of TensorFlow Serving.

For development and tests; `serving/README.md` says what it leaves out.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import threading
import time

import fastapi
import uvicorn
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from keras_vas.errors import UserError

# requests that are computed at a time, and that are begun; bodies of the
# largest size in memory
PLACES, MOST_REQUESTS, MOST_BODIES = 4, 100, 4
# seconds for sending a request and taking its answer, and for begun requests
# at the end
PATIENCE, GRACE = 60, 10
POLL_SECONDS = 1.0

_LOG = logging.getLogger(__name__)


class _App:
    """Answers requests, as ASGI; each in limited time and memory."""

    def __init__(self, models, max_request_bytes, max_rows, timeout):
        self._models = {model.path.name: model for model in models}
        self._longest, self._max_rows = max_request_bytes, max_rows
        self._timeout = timeout
        self._pool = concurrent.futures.ThreadPoolExecutor(PLACES)
        self._begun = self._held = 0
        self._routes = fastapi.FastAPI(openapi_url=None)
        for version in ("", "/versions/{version}", "/labels/{version}"):
            path = f"/v1/models/{{name}}{version}"
            self._routes.get(path)(self._status)
            self._routes.get(f"{path}/metadata")(self._metadata)
            self._routes.post(f"{path}:predict")(self._predict)
        for kind in (HTTPException, ClientDisconnect):
            self._routes.exception_handler(kind)(_refuse)

    async def __call__(self, scope, receive, send):
        self._begun += 1
        try:
            async with asyncio.timeout(self._timeout + PATIENCE):
                await self._routes(scope, receive, send)
        except (TimeoutError, asyncio.CancelledError):
            _LOG.warning("%s: gave up a slow client", scope["path"])
        finally:
            self._begun -= 1

    def _model(self, name):
        if name not in self._models:
            raise HTTPException(404, f"there is no model {name}")
        return self._models[name]

    async def _status(self, name: str, version: str | None = None):
        return {"model_version_status": self._model(name).status(version)}

    async def _metadata(self, name: str, version: str | None = None):
        number, found = self._model(name).find(version)
        return {
            "model_spec": {"name": name, "version": number},
            "metadata": {"signature_def": found.metadata()},
        }

    async def _predict(
        self, request: fastapi.Request, name: str, version: str | None = None
    ):
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                self._held += len(chunk)
                self._check(len(body))
            _, found = self._model(name).find(version)
            end = time.monotonic() + self._timeout
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool, found.predict, body, self._max_rows, end
            )
        finally:
            self._held -= len(body)
        return StreamingResponse(
            _pieces(answer),
            media_type="application/json",
            headers={"Content-Length": str(len(answer))},
        )

    def _check(self, length):
        if length > self._longest:
            raise HTTPException(
                413, f"at most {self._longest} bytes; send smaller frames"
            )
        full = self._held > MOST_BODIES * self._longest
        if full or self._begun > MOST_REQUESTS:
            raise HTTPException(503, "too many requests; try again later")


async def _pieces(answer, size=1 << 18):
    for start in range(0, len(answer), size):
        yield answer[start : start + size]


async def _refuse(request, error):
    status = getattr(error, "status_code", 400)
    reason = getattr(error, "detail", "the request ended early")
    _LOG.warning("%d %s: %s", status, request.url.path, reason)
    return JSONResponse({"error": reason}, status)


@contextlib.contextmanager
def serve(
    models,
    address="127.0.0.1",
    port=8501,
    max_request_bytes=64 << 20,
    max_batch_size=256,
    timeout=120.0,
):
    """Serves models in threads of its own, and yields the server's address.

    Args:
        models: list of `models.Model`.
        address: address to listen at; 0.0.0.0 lets every machine in, and
            nothing asks them who they are.
        port: port to listen at, 0 for any.
        max_request_bytes: bytes of the longest request.
        max_batch_size: largest number of clips or sentences in a request.
        timeout: seconds until a request that waits or is computed fails.

    Raises:
        UserError: a model cannot be loaded, or the port is taken.
    """
    for model in models:
        model.refresh()
        if not model.loaded:
            states = model.states.values()
            reasons = "; ".join(x["status"]["error_message"] for x in states)
            raise UserError(
                f"cannot load {model.path}: {reasons or 'no such version'}"
            )
    try:
        listener = socket.create_server((address, port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"cannot listen at {address} port {port}: {error}; give another "
            "--port or --address"
        ) from error
    # an answer in parts must not wait for the client's delayed ACK
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(
        uvicorn.Config(
            _App(models, max_request_bytes, max_batch_size, timeout),
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE + 2,
        )
    )
    ending = threading.Event()
    answering = threading.Thread(target=server.run, args=([listener],))
    answering.start()
    threading.Thread(target=_poll, args=(models, ending), daemon=True).start()
    try:
        yield f"http://{address}:{listener.getsockname()[1]}"
    finally:
        ending.set()
        server.should_exit = True
        answering.join(GRACE)
        for model in models:
            for version in model.loaded.values():
                version.close()
        answering.join()


def _poll(models, ending):
    while not ending.wait(POLL_SECONDS):
        for model in models:
            try:
                model.refresh()
            except OSError as error:
                _LOG.warning("cannot search %s: %s", model.path, error)
