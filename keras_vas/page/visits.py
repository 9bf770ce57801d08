"""Who is on the page, and the files of each, which end with the visit."""

import contextlib
import pathlib
import secrets
import shutil
import threading
import time

from keras_vas.errors import UserError
from keras_vas.page.visitors import first_to_go

_SWEEP_SECONDS = 30.0


class Visit:
    """One open page of one visitor.

    Args:
        visitor: `Visitor` whose it is.
        session: str, which of the visitor's pages it is.
        folder: `pathlib.Path` for the visit's files, made here.

    Attributes:
        visitor: as given.
        session: as given.
        id: str that cannot be guessed.
        folder: as given.
        clip: `StoredClip` that is looked at, or `None`.
        result: what was found in it, `finding.Result`, or `None`.
        maps: word attention last asked for, or `None`.
        closed: whether the visit has ended; work for it should end too.
        stopped: set it to end the work for the visit early.
        used: `time.monotonic()` of the last request.
        lock: held by whoever works for the visit.
    """

    def __init__(self, visitor, session, folder):
        self.visitor, self.session = visitor, session
        self.folder = pathlib.Path(folder)
        self.id = self.folder.name
        self.folder.mkdir(parents=True)
        self.clip = self.result = self.maps = None
        self.closed = self.stopped = False
        self.used = time.monotonic()
        self.lock = threading.Lock()

    def new_folder(self):
        """`pathlib.Path` of a folder of the visit that is not there yet."""
        return self.folder / secrets.token_urlsafe(12)

    def show(self, clip):
        """Turns to another clip; what belonged to the last one goes."""
        old, self.clip = self.clip, clip
        self.clear()
        if old is not None and old is not clip:
            self.remove(old.folder)

    def clear(self):
        """Forgets what was found."""
        old, self.result, self.maps = self.result, None, None
        if old is not None:
            self.remove(old.folder)

    def remove(self, folder):
        """Removes a folder if it is the visit's own."""
        if self.folder in pathlib.Path(folder).parents:
            shutil.rmtree(folder, ignore_errors=True)

    def end(self):
        """Ends the visit and removes its files."""
        self.closed = True
        shutil.rmtree(self.folder, ignore_errors=True)


class Visits:
    """All visits; every one belongs to one visitor.

    Args:
        folder: `pathlib.Path` for their files.
        limits: `Limits`.
    """

    def __init__(self, folder, limits):
        self._folder, self._limits = pathlib.Path(folder), limits
        self._visits = {}
        self._lock = threading.Lock()

    def open(self, visitor, session):
        """The visit of a page, begun if need be.

        Args:
            visitor: `Visitor`.
            session: str, which of the visitor's pages it is.

        Returns:
            `Visit`.
        """
        with self._lock:
            visit = self._visits.get((visitor, session))
            if visit is None:
                self._make_room(visitor)
                folder = self._folder / secrets.token_urlsafe(24)
                visit = Visit(visitor, session, folder)
                self._visits[visitor, session] = visit
            visit.used = time.monotonic()
            return visit

    def of(self, visitor, visit_id):
        """The visitor's own visit of that id, or `None`."""
        with self._lock:
            for visit in self._visits.values():
                if visit.visitor == visitor and visit.id == visit_id:
                    visit.used = time.monotonic()
                    return visit
        return None

    def current(self, visitor, session):
        """The visit of a page that shows a clip.

        Raises:
            UserError: it shows none.
        """
        with self._lock:
            visit = self._visits.get((visitor, session))
            if visit is None or visit.clip is None:
                raise UserError("Choose a video or a sample first.")
            visit.used = time.monotonic()
            return visit

    def stop(self, visitor, session):
        """Stops the work for the visit of a page, where there is some."""
        with self._lock:
            visit = self._visits.get((visitor, session))
            if visit is not None:
                visit.stopped = True

    def end(self, visitor, session):
        """Ends the visit of a page, if there is one."""
        with self._lock:
            visit = self._visits.get((visitor, session))
            if visit is not None:
                self._end(visit)

    def sweep(self):
        """Ends the visits that have been idle too long."""
        with self._lock:
            oldest = time.monotonic() - self._limits.idle_seconds
            for visit in list(self._visits.values()):
                if visit.used < oldest and not visit.lock.locked():
                    self._end(visit)

    @contextlib.contextmanager
    def sweeping(self):
        """Sweeps now and then, in a thread, as long as it is held."""
        stopped = threading.Event()

        def sweep():
            while not stopped.wait(_SWEEP_SECONDS):
                self.sweep()

        threading.Thread(target=sweep, daemon=True).start()
        try:
            yield
        finally:
            stopped.set()

    def _make_room(self, visitor):
        held = sorted(
            self._visits.values(), key=lambda x: (x.lock.locked(), x.used)
        )
        limits = self._limits
        gone = first_to_go(held, visitor, limits.visits, limits.visits_of_one)
        if gone is not None:
            self._end(gone)

    def _end(self, visit):
        del self._visits[visit.visitor, visit.session]
        visit.end()
