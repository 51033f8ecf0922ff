"""Tables and lines, as text or as HTML: no script, nothing from elsewhere.

Colours are those around it, so that it is as readable on dark as on light ground.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from fcdcc_keras.text import table

_STYLE = """
.fcdcc { color: inherit; overflow-x: auto; line-height: 1.4; }
.fcdcc table { border-collapse: collapse; margin: 0.3em 0 0.8em; color: inherit;
  font-variant-numeric: tabular-nums; }
.fcdcc caption { text-align: left; font-weight: 600; padding: 0.2em 0; color: inherit; }
.fcdcc th, .fcdcc td { padding: 0.15em 0.8em 0.15em 0; border: 0; text-align: left;
  background: none; color: inherit; vertical-align: top; }
.fcdcc th { border-bottom: 1px solid rgba(127, 127, 127, 0.6); font-weight: 600; }
.fcdcc tr { border-bottom: 1px solid rgba(127, 127, 127, 0.2); background: none; }
.fcdcc .right { text-align: right; white-space: nowrap; }
.fcdcc svg text { fill: currentColor; }
.fcdcc svg { color: inherit; max-width: 100%; min-width: 40em; }
.fcdcc p { margin: 0.2em 0; }
.fcdcc .key { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.3em; }
.fcdcc .keys span { margin-right: 1em; white-space: nowrap; }
"""


@dataclass(frozen=True)
class Table:
    """Cells under headings."""

    title: str
    """Printed above."""
    columns: Sequence[str]
    """Headings."""
    rows: Sequence[Sequence[str]]
    right: Sequence[str] | None = None
    """Headings of the right-aligned columns; default: all but the first."""


Block = Table | str
"""A table, or lines that each end with a line break."""


def as_text(blocks: Iterable[Block]) -> str:
    """Returns blocks as plain text."""
    return "".join(
        each
        if isinstance(each, str)
        else table(each.title, each.columns, each.rows, each.right)
        for each in blocks
    )


def as_html(blocks: Iterable[Block], picture: str = "") -> str:
    """Returns blocks as HTML that can stand in any page.

    Args:
        blocks: What to show.
        picture: HTML that is put before it.
    """
    body = "".join(
        "".join(f"<p>{escape(line)}</p>" for line in each.splitlines())
        if isinstance(each, str)
        else _table(each)
        for each in blocks
    )
    return f'<div class="fcdcc"><style>{_STYLE}</style>{picture}{body}</div>'


def keys_html(keys: Mapping[str, tuple[str, str]]) -> str:
    """Returns what colours mean: by name, the colour and what there is to say."""
    return '<p class="keys">{}</p>'.format(
        "".join(
            f'<span title="{escape(said)}"><span class="key" style="background:'
            f'{colour}"></span>{escape(name)}</span> '
            for name, (colour, said) in keys.items()
        )
    )


def _table(given: Table) -> str:
    right = given.columns[1:] if given.right is None else given.right
    sides = [' class="right"' if name in right else "" for name in given.columns]

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{side}>{escape(text)}</{tag}>"
            for side, text in zip(sides, texts, strict=True)
        )

    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in given.rows)
    return (
        f"<table><caption>{escape(given.title)}</caption>"
        f"<thead><tr>{cells('th', given.columns)}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
