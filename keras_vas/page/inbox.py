"""Files that visitors have sent and that wait to be decoded."""

import asyncio
import contextlib
import dataclasses
import pathlib
import secrets
import threading
import time
import unicodedata

from keras_vas.errors import UserError
from keras_vas.page.visitors import Visitor, first_to_go

_KEPT_SECONDS = 600.0
_NAME_LENGTH = 80


@dataclasses.dataclass(eq=False)
class Upload:
    """A file that was sent.

    Attributes:
        visitor: `Visitor` who sent it.
        name: what the visitor calls it, fit to be shown.
        path: `pathlib.Path` of the file.
        since: `time.monotonic()` when it began to come.
        complete: whether all of it has come.
    """

    visitor: Visitor
    name: str
    path: pathlib.Path
    since: float
    complete: bool = False


class Inbox:
    """Holds uploads until their senders ask for them.

    Args:
        folder: `pathlib.Path`, missing.
        limits: `Limits`.
    """

    def __init__(self, folder, limits):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self._limits = limits
        self._uploads = {}
        self._lock = threading.Lock()

    async def receive(self, visitor, name, chunks):
        """Takes a file in; of one visitor, one is kept.

        Args:
            visitor: `Visitor`.
            name: str, the file's own name.
            chunks: async iterator of bytes.

        Returns:
            str that cannot be guessed, for `taken`.

        Raises:
            UserError: it is empty or too large, or had to make room.
            TimeoutError: it does not come on.
        """
        ticket = secrets.token_urlsafe(24)
        upload = Upload(
            visitor, shown_name(name), self.folder / ticket, time.monotonic()
        )
        with self._lock:
            self._make_room(visitor)
            self._uploads[ticket] = upload
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                await self._write(upload, chunks)
        except BaseException:
            with self._lock:
                self._drop(upload)
            raise
        upload.complete = True
        return ticket

    async def _write(self, upload, chunks):
        stall = self._limits.stall_seconds
        now = asyncio.get_running_loop().time
        with open(upload.path, "xb") as file:
            async with asyncio.timeout(stall) as clock:
                async for chunk in chunks:
                    clock.reschedule(now() + stall)
                    file.write(chunk)
                    self._check(upload, file.tell())
            if not file.tell():
                raise UserError(f"{upload.name} is empty; give another file.")

    def _check(self, upload, size):
        if size > self._limits.megabytes * 2**20:
            raise UserError(
                f"{upload.name} is larger than {self._limits.megabytes} MB; "
                "give a smaller file."
            )
        if upload.path.name not in self._uploads:
            raise UserError(
                f"Too many videos are being sent, and {upload.name} had to "
                "make room; try again in a minute."
            )

    @contextlib.contextmanager
    def taken(self, visitor, ticket):
        """Gives an upload out, and removes it in the end.

        Args:
            visitor: `Visitor`.
            ticket: what `receive` returned.

        Yields:
            `Upload`.

        Raises:
            UserError: there is none, or it is another visitor's.
        """
        with self._lock:
            upload = self._uploads.get(ticket)
            if upload is None or upload.visitor != visitor:
                raise UserError("The video is no longer here; send it again.")
            del self._uploads[ticket]
        try:
            yield upload
        finally:
            upload.path.unlink(missing_ok=True)

    def _drop(self, upload):
        self._uploads.pop(upload.path.name, None)
        upload.path.unlink(missing_ok=True)

    def _make_room(self, visitor):
        oldest = time.monotonic() - _KEPT_SECONDS
        for upload in list(self._uploads.values()):
            if upload.since < oldest:
                self._drop(upload)
        held = sorted(
            self._uploads.values(), key=lambda x: (not x.complete, x.since)
        )
        gone = first_to_go(held, visitor, self._limits.waiting_uploads, 1)
        if gone is not None:
            self._drop(gone)


def shown_name(name):
    """A file's name without folders, control characters and great length."""
    name = str(name).replace("\\", "/").rsplit("/", 1)[-1]
    printable = (" " if unicodedata.category(c)[0] in "CZ" else c for c in name)
    name = " ".join("".join(printable).split())
    if len(name) > _NAME_LENGTH:
        name = f"{name[: _NAME_LENGTH - 13]}…{name[-12:]}"
    return name or "the file"
