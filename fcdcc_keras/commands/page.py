"""The page of ``fcdcc-keras evaluate --report``: one file that needs no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from fcdcc_keras.commands import pictures
from fcdcc_keras.commands.evaluation import Evaluation, worker_rows
from fcdcc_keras.observe.trace_plot import gantt_figure, split_figure
from fcdcc_keras.text import bytes_text
from fcdcc_keras.version import __version__

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
img { width: 100%; height: auto; } pre { overflow-x: auto; font-size: 12px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd }
.good { color: #00664b; } .bad { color: #a33f00; } .note { color: #666; }
"""


def write_page(found: Evaluation, path: str | Path) -> None:
    """Writes the results with their pictures as HTML.

    Args:
        found: What was found.
        path: Where to write it.
    """
    Path(path).write_text(page(found), "utf-8")


def page(found: Evaluation) -> str:
    """Returns the results with their pictures as HTML without outside resources."""
    verdict = found.verdict
    title = f"{found.model} on {found.data}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=note>{found.workers} workers, any {found.stragglers} may be missing;"
        f" {verdict.images} images in batches of {found.batch_size};"
        f" {found.seconds:.0f} s; fcdcc_keras {__version__}</p>",
        _claim(found),
        _table((), found.figures()),
        *_section(
            "Time of each batch",
            _image(pictures.latency(verdict, found.batch_size), "time of each batch"),
        ),
        *_section(
            "What became of each worker's results",
            _image(pictures.outcomes(verdict), "results of each worker"),
            _workers(found),
        ),
        *_section(
            "What each worker did",
            "<p class=note>One row a worker; pale from sending to the answer, full "
            "while it convolved.</p>",
            *(
                f"<h3>{escape(scene.title)}</h3>"
                + _image(gantt_figure(scene.records), scene.title)
                for scene in verdict.scenes
            ),
        ),
        *_section(
            "Where the time of each layer went",
            _image(split_figure(verdict.summary), "time of each layer"),
        ),
        *_section("Predictions that differ", _differences(found)),
        *_section(
            "Layers",
            f"<details><summary>which are coded</summary><pre>{escape(found.layers)}"
            "</pre></details>",
        ),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _claim(found: Evaluation) -> str:
    verdict = found.verdict
    if verdict.differences:
        text = f"{len(verdict.differences)} of {verdict.images} predictions differ."
        return f"<p class=bad><strong>{text}</strong></p>"
    text = f"All {verdict.images} predictions are those of the plain model"
    told = "; ".join(fault.text for fault, _ in verdict.struck)
    text += f", while this happened: {escape(told)}." if told else "."
    return f"<p class=good><strong>{text}</strong></p>"


def _workers(found: Evaluation) -> str:
    names = ("worker", "address", "used", "late", "lost", "skipped")
    rows = [
        [*(str(row[name]) for name in names)]
        + [bytes_text(row[f"bytes_{way}"]) for way in ("sent", "received")]
        for row in worker_rows(found.verdict)
    ]
    return _table((*names, "sent", "received"), rows)


def _differences(found: Evaluation) -> str:
    differences = found.to_json()["differences"]
    if not differences:
        return "<p>None.</p>"
    names = tuple(differences[0])
    return _table(names, [[str(d[name]) for name in names] for d in differences])


def _section(title: str, *parts: str) -> Iterable[str]:
    return f"<h2>{escape(title)}</h2>", *parts


def _image(figure: object, text: str) -> str:
    return f'<img alt="{escape(text)}" src="{pictures.embedded(figure)}">'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row("th", head)] if head else []
    lines += [_row("td", row) for row in rows]
    return "<table>" + "".join(lines) + "</table>"


def _row(kind: str, cells: Sequence[str]) -> str:
    inner = "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{inner}</tr>"
