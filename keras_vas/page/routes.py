"""The routes beside Gradio's: files come in, results go out."""

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.requests import ClientDisconnect

from keras_vas.errors import UserError
from keras_vas.page import gate
from keras_vas.page.finding import OVERLAY, ZIP

_TYPES = {OVERLAY: "video/mp4", ZIP: "application/zip"}


def make(visits, inbox):
    """The application that Gradio is mounted in.

    `POST /upload?name=NAME` takes a file as the body and answers with a
    ticket, or with status 400 and what is wrong. `GET /results/VISIT/RESULT/
    FILE` gives a visitor their own results.

    Args:
        visits: `Visits`.
        inbox: `Inbox`.

    Returns:
        `fastapi.FastAPI`.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post(gate.UPLOAD)
    async def upload(request: Request, name: str = ""):
        visitor = request.scope[gate.VISITOR]
        closing = {"connection": "close"}
        try:
            ticket = await inbox.receive(visitor, name, request.stream())
        except TimeoutError:
            return PlainTextResponse("Sending took too long.", 408, closing)
        except UserError as error:
            return PlainTextResponse(str(error), 400, closing)
        except ClientDisconnect:
            return PlainTextResponse("Nobody is there any more.", 400)
        return PlainTextResponse(ticket)

    @app.api_route(
        gate.RESULTS + "{visit_id}/{result}/{file}", methods=["GET", "HEAD"]
    )
    def results(request: Request, visit_id: str, result: str, file: str):
        visit = visits.of(request.scope[gate.VISITOR], visit_id)
        found = visit.result if visit is not None else None
        if found is None or found.id != result or file not in _TYPES:
            return PlainTextResponse("Not found.", 404)
        return FileResponse(
            found.folder / file,
            media_type=_TYPES[file],
            headers={"cache-control": "private, no-store"},
        )

    return app
