"""A page of the best moments of an archive.

    python -m keras_vas.archive report OUT

Writes OUT/report.html, which holds everything but the videos: a table that
sorts by its headings, with a picture of each moment, its mask drawn, and a
link to the video at that time.
"""

import argparse
import base64
import html
import pathlib
import sys

from keras_vas import command_line, files
from keras_vas.archive import engine
from keras_vas.errors import UserError

FILE = "report.html"
_MOST = 500
_COLUMNS = {
    "Video": "text",
    "Time": "number",
    "Sentence": "text",
    "Score": "number",
    "Share of the frame": "number",
}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.4 system-ui, sans-serif; margin: 1.5rem; }
table { border-collapse: collapse; }
caption { text-align: left; padding-bottom: .75rem; max-width: 60rem; }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; vertical-align: top;
  border-bottom: 1px solid #8886; }
th { vertical-align: bottom; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td { overflow-wrap: anywhere; }
img { display: block; width: 240px; height: auto; }
button { font: inherit; font-weight: 600; background: none; border: 0;
  color: inherit; cursor: pointer; padding: .2rem 0; text-align: left;
  text-decoration: underline dotted; }
[aria-sort=ascending] button::after { content: " \\25B2"; }
[aria-sort=descending] button::after { content: " \\25BC"; }
@media (max-width: 50rem) { img { width: 120px; } body { margin: .75rem; } }
"""
_SCRIPT = """
const table = document.querySelector("table"), body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells].filter(x => x.dataset.kind);
for (const head of heads) head.firstChild.addEventListener("click", () => {
  const up = head.getAttribute("aria-sort") === "descending" ||
    (!head.hasAttribute("aria-sort") && head.dataset.kind === "text");
  const of = row => row.cells[head.cellIndex].dataset.value;
  const compare = head.dataset.kind === "text"
    ? (a, b) => of(a).localeCompare(of(b)) : (a, b) => of(a) - of(b);
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...[...body.rows].sort((a, b) =>
    up ? compare(a, b) : compare(b, a)));
});
"""


def write(folder, most=_MOST):
    """Writes the page.

    Args:
        folder: `pathlib.Path` of an archive.
        most: moments that it shows, those of the highest scores.

    Returns:
        `(shown, found)`: numbers of moments.

    Raises:
        UserError: the folder is no archive, or holds no result.
    """
    moments, found = _moments(folder, most)
    about = files.read_json(folder / "_archive.json", "name an archive")
    shown = f"{len(moments):,}"
    if len(moments) < found:
        shown = f"the best {shown} of {found:,}"
    caption = (
        f"{command_line.counted(len(about['the sentences']), 'sentence')}, "
        f"{shown} moments: the frames in which the model is most sure that "
        "somebody meant by the sentence is there. Press a heading to sort."
    )
    heads = "".join(
        f'<th scope="col" data-kind="{kind}"'
        f"{' aria-sort=descending' if name == 'Score' else ''}>"
        f'<button type="button">{name}</button></th>'
        for name, kind in _COLUMNS.items()
    )
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<title>Moments of an archive</title>"
        f"<style>{_STYLE}</style></head><body><main>"
        "<h1>Moments of an archive</h1><table>"
        f"<caption>{caption}</caption>"
        f'<thead><tr>{heads}<th scope="col">Picture</th></tr></thead><tbody>\n'
        + "\n".join(map(_row, moments))
        + f"\n</tbody></table></main><script>{_SCRIPT}</script></body></html>\n"
    )
    with files.atomic_path(folder / FILE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return len(moments), found


def _moments(folder, most):
    """The best rows with a thumbnail, and how many there are."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from keras_vas.archive import table

    best, found = None, 0
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows = pq.read_table(path, filters=pc.field("thumbnail").is_valid())
            link = pathlib.Path(table.about(path)["path"]).as_uri()
        except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError, TypeError) as e:
            raise UserError(
                f"{path} is no result of an archive ({e}); remove it, and run "
                "the archive again"
            ) from e
        found += len(rows)
        rows = rows.append_column("link", pa.array([link] * len(rows)))
        rows = rows if best is None else pa.concat_tables([best, rows])
        best = rows.sort_by([("score", "descending")]).slice(0, most)
    if best is None:
        raise UserError(f"{folder} holds no results; name the folder of some")
    return best.to_pylist(), found


def _row(moment):
    video, sentence = (
        html.escape(moment["video"]),
        html.escape(moment["sentence"]),
    )
    height, width = moment["rle"]["size"]
    share = moment["area"] / (height * width)
    minutes, seconds = divmod(moment["time"], 60)
    time = f"{minutes:.0f}:{seconds:05.2f}"
    link = f"{html.escape(moment['link'])}#t={moment['time']:.2f}"
    picture = base64.b64encode(moment["thumbnail"]).decode()
    return (
        f'<tr><td data-value="{video}">{video}</td>'
        f'<td class="number" data-value="{moment["time"]}">'
        f'<a href="{link}">{time}</a></td>'
        f'<td data-value="{sentence}">{sentence}</td>'
        f'<td class="number" data-value="{moment["score"]}">'
        f"{moment['score']:.3f}</td>"
        f'<td class="number" data-value="{share}">{share:.1%}</td>'
        f'<td><img loading="lazy" alt="{video} at {time}: {sentence}" '
        f'src="data:image/jpeg;base64,{picture}"></td></tr>'
    )


def main(arguments):
    """Writes the page that the parsed command line asks for."""
    engine.check_installed()
    folder = pathlib.Path(arguments.folder)
    shown, found = write(folder, arguments.most)
    print(f"{shown:,} of {found:,} moments in {folder / FILE}")


def run():
    """Runs the program."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_vas.archive report",
        description="Makes a page of the best moments: OUT/report.html.",
    )
    parser.add_argument("command", choices=["report"])
    parser.add_argument("folder", help="folder that an archive was written to")
    parser.add_argument(
        "--most", type=int, default=_MOST, help="moments that the page shows"
    )
    parsed = parser.parse_args()
    del sys.argv[1:]
    command_line.run(lambda _: main(parsed))
