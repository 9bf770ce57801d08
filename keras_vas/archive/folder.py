"""The folder of an archive.

    OUT/KEY.parquet        the rows of a video, whole or not there
    OUT/_archive.json      what the results depend on
    OUT/_left_out.csv      videos without a result, and the reasons
    OUT/.keras_vas-unfinished/KEY/SPAN-of-SPANS.parquet

Readers of Parquet folders pass over names that begin with "." or "_". Workers
write spans; one process, which holds the lock, does everything else.
"""

import contextlib
import csv
import pathlib
import shutil

import pyarrow as pa
import pyarrow.parquet as pq

from keras_vas import files
from keras_vas.archive import table
from keras_vas.errors import UserError

ABOUT = "_archive.json"
LEFT_OUT = "_left_out.csv"
_ADVICE = "name a new --output"


class Folder:
    """Where results lie.

    Args:
        path: of the folder, missing, empty or of an archive.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path).absolute()
        self._unfinished = self.path / files.UNFINISHED

    def check(self):
        """Raises a `UserError` if the folder holds something else."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise UserError(f"{self.path} is a file; {_ADVICE}")
        others = [
            path.name
            for path in self.path.iterdir()
            if not files.is_temporary(path.name)
        ]
        if others and ABOUT not in others:
            raise UserError(
                f"{self.path} holds something else ({min(others)}); {_ADVICE}"
            )

    @contextlib.contextmanager
    def opened(self, settings):
        """The folder, for this process alone to write.

        Args:
            settings: `settings.Settings`.

        Raises:
            UserError: another process is writing, or the results that are
                there come from something else.
        """
        self.check()
        with files.lock(self.path):
            files.remove_leftovers(self.path)
            about = settings.decisive()
            if (self.path / ABOUT).exists():
                earlier = files.read_json(self.path / ABOUT, _ADVICE)
                other = [k for k in about if earlier.get(k) != about[k]]
                if other:
                    raise UserError(
                        f"{self.path} holds results of other choices "
                        f"({', '.join(other)}); give the same, or {_ADVICE}"
                    )
            else:
                files.write_json(self.path / ABOUT, about)
            for finished in self._unfinished.glob("*"):
                if self.result(finished.name).exists():
                    shutil.rmtree(finished)
            yield

    def result(self, key):
        """`pathlib.Path` of a video's rows."""
        return self.path / f"{key}.parquet"

    def part(self, key, span, spans):
        """`pathlib.Path` of a span's rows, until the video is finished."""
        name = f"{span:06d}-of-{spans:06d}.parquet"
        return self._unfinished / key / name

    def finish(self, key, spans, choice):
        """Makes the spans of a video its result.

        Args:
            key: of the video.
            spans: how many it has, all there.
            choice: `settings.Choice`.
        """
        paths = [self.part(key, i, spans) for i in range(1, spans + 1)]
        if spans == 1:
            paths[0].replace(self.result(key))
        else:
            abouts = [table.about(path) for path in paths]
            about = {
                **abouts[0],
                "frames": sum(x["frames"] for x in abouts),
                "seconds": [s for x in abouts for s in x["seconds"]],
            }
            tables = (pq.read_table(path) for path in paths)
            if choice.find:
                tables = [table.best(pa.concat_tables(tables), choice)]
            table.write(self.result(key), tables, about)
        shutil.rmtree(self._unfinished / key)

    def end(self, left_out):
        """Writes which videos have no result.

        Args:
            left_out: dict of their names to the reasons.
        """
        with contextlib.suppress(OSError):
            self._unfinished.rmdir()  # unless spans of such videos are there
        path = self.path / LEFT_OUT
        if not left_out:
            path.unlink(missing_ok=True)
            return
        with files.atomic_path(path) as temporary:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["video", "reason"])
                writer.writerows(sorted(left_out.items()))
