"""Numbers, tables and exceptions as plain text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence


def count(number: float) -> str:
    """Returns a number with a decimal prefix: 1234567 is ``1.23 M``."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= factor * 0.9995:  # 999,600 is 1 M to three digits
            return f"{_three_digits(number / factor)} {prefix}"
    return f"{number:.3g}"


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[str] | None = None,
) -> str:
    """Returns a table as text, as wide as its content.

    Args:
        title: Printed above the table.
        columns: Headings.
        rows: Cells of each row.
        right: Headings of the right-aligned columns; default: all but the first.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=title, box=box.SIMPLE, title_justify="left")
    for heading in columns:
        to_right = heading in (columns[1:] if right is None else right)
        grid.add_column(heading, justify="right" if to_right else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=400, markup=False, highlight=False, emoji=False).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def bytes_text(number: float) -> str:
    """Returns a number of bytes with a decimal prefix: 1500 is ``1.5 kB``."""
    text = count(number)
    return f"{text}B" if " " in text else f"{text} B"


def milliseconds(seconds: float) -> str:
    """Returns seconds as milliseconds with three digits."""
    return _three_digits(seconds * 1e3)


def said_by(error: BaseException) -> str:
    """Returns what an exception says, or what it is: timeouts say nothing."""
    try:
        return str(error).strip() or type(error).__name__
    except BaseException:  # its own code may do anything
        return type(error).__name__


def text_of(error: BaseException) -> str:
    """Returns what an exception is, and what it says, if anything."""
    kind, said = type(error).__name__, said_by(error)
    return kind if said == kind else f"{kind}: {said}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an exception, and what it came of, to the first of all."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _three_digits(number: float) -> str:
    # Like "g", but never with an exponent for large numbers.
    return f"{number:.0f}" if abs(number) >= 999.5 else f"{number:.3g}"
