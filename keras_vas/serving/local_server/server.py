"""A local server with the REST interface of TensorFlow Serving.

For development and tests; `serving/README.md` says what it leaves out.
"""

import asyncio
import concurrent.futures
import time

import fastapi
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

# requests that are computed at a time; bodies of the largest size in memory
PLACES, MOST_BODIES = 4, 4


class App(fastapi.FastAPI):
    """Answers requests, each in limited time and memory.

    Args:
        models: list of `models.Model`, each of another name.
        max_request_bytes: bytes of the longest request.
        max_batch_size: largest number of clips or sentences in a request.
        timeout: seconds in which a request must be sent, and then answered.
    """

    def __init__(
        self,
        models,
        max_request_bytes=64 << 20,
        max_batch_size=256,
        timeout=120.0,
    ):
        errors = (HTTPException, ClientDisconnect, TimeoutError)
        refusals = dict.fromkeys(errors, _refuse)
        super().__init__(openapi_url=None, exception_handlers=refusals)
        self._models = {model.path.name: model for model in models}
        self._longest, self._max_rows = max_request_bytes, max_batch_size
        self._timeout, self._held = timeout, 0
        self._pool = concurrent.futures.ThreadPoolExecutor(PLACES)
        for version in ("", "/versions/{version}", "/labels/{version}"):
            path = f"/v1/models/{{name}}{version}"
            self.get(path)(self._status)
            self.get(f"{path}/metadata")(self._metadata)
            self.post(f"{path}:predict")(self._predict)

    def _find(self, name, version, what):
        model = self._models.get(name)
        found = model and getattr(model, what)(version)
        if not found:
            raise HTTPException(
                404, f"there is no model {name}, or no such version"
            )
        return found

    async def _status(self, name: str, version: str | None = None):
        states = self._find(name, version, "status")
        return {"model_version_status": states}

    async def _metadata(self, name: str, version: str | None = None):
        number, found = self._find(name, version, "find")
        return {
            "model_spec": {"name": name, "version": number},
            "metadata": {"signature_def": found.metadata()},
        }

    async def _predict(
        self, request: fastapi.Request, name: str, version: str | None = None
    ):
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    self._check(len(body))
            _, found = self._find(name, version, "find")
            end = time.monotonic() + self._timeout
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool, found.predict, body, self._max_rows, end
            )
        finally:
            self._held -= len(body)
        return Response(answer, media_type="application/json")

    def _check(self, length):
        if length > self._longest:
            raise HTTPException(413, f"longer than {self._longest} bytes")
        if self._held > MOST_BODIES * self._longest:
            raise HTTPException(503, "too many requests; try again later")


async def _refuse(_, error):
    status = getattr(error, "status_code", 408)
    reason = getattr(error, "detail", "the request did not come in time")
    return JSONResponse({"error": reason}, status)
