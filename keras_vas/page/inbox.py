"""Files that visitors have sent and that wait to be decoded."""

import dataclasses
import pathlib
import secrets
import threading
import time
import unicodedata

from keras_vas.errors import UserError

_KEPT_SECONDS = 600.0
_NAME_LENGTH = 80


@dataclasses.dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        visitor: str, who sent it.
        name: what the visitor calls it, fit to be shown.
        path: `pathlib.Path` of the file.
        since: `time.monotonic()` when it began to come.
    """

    visitor: str
    name: str
    path: pathlib.Path
    since: float


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
            visitor: str.
            name: str, the file's own name.
            chunks: async iterator of bytes.

        Returns:
            str that cannot be guessed, for `take`.

        Raises:
            UserError: it is empty or too large, or too many are waiting.
        """
        ticket = secrets.token_urlsafe(24)
        upload = Upload(
            visitor, shown_name(name), self.folder / ticket, time.monotonic()
        )
        with self._lock:
            self._remove_old(visitor)
            if len(self._uploads) >= self._limits.waiting_uploads:
                raise UserError(
                    "Too many videos are being sent; try again in a minute."
                )
            self._uploads[ticket] = upload
        try:
            await self._write(upload, chunks)
        except BaseException:
            self.drop(ticket)
            raise
        return ticket

    async def _write(self, upload, chunks):
        size = 0
        with open(upload.path, "xb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._limits.megabytes * 2**20:
                    raise UserError(
                        f"{upload.name} is larger than "
                        f"{self._limits.megabytes} MB; give a smaller file."
                    )
                file.write(chunk)
        if not size:
            raise UserError(f"{upload.name} is empty; give another file.")

    def take(self, visitor, ticket):
        """The `Upload` of a ticket, which its taker removes with `drop`.

        Raises:
            UserError: there is none, or it is another visitor's.
        """
        upload = self._uploads.get(ticket)
        if upload is None or upload.visitor != visitor:
            raise UserError("The video is no longer here; send it again.")
        return upload

    def drop(self, ticket):
        """Removes an upload."""
        with self._lock:
            self._drop(ticket)

    def _drop(self, ticket):
        upload = self._uploads.pop(ticket, None)
        if upload is not None:
            upload.path.unlink(missing_ok=True)

    def _remove_old(self, visitor):
        oldest = time.monotonic() - _KEPT_SECONDS
        for ticket, upload in list(self._uploads.items()):
            if upload.visitor == visitor or upload.since < oldest:
                self._drop(ticket)


def shown_name(name):
    """A file's name without folders, control characters and great length."""
    name = str(name).replace("\\", "/").rsplit("/", 1)[-1]
    printable = (" " if unicodedata.category(c)[0] in "CZ" else c for c in name)
    name = " ".join("".join(printable).split())
    if len(name) > _NAME_LENGTH:
        name = f"{name[: _NAME_LENGTH - 13]}…{name[-12:]}"
    return name or "the file"
