"""What the doctor found and says, on a terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fcdcc_keras.doctor.expectation import Expectation
from fcdcc_keras.doctor.findings import (
    Findings,
    MeasuredWay,
    Software,
    Touch,
    WorkerFound,
)
from fcdcc_keras.doctor.programs import rate_of
from fcdcc_keras.doctor.trouble import Trouble
from fcdcc_keras.text import bytes_text, count, milliseconds

_WHOSE = 6
"""Of those that have the same trouble, as many are named on a terminal."""


def show(
    console: Console,
    found: Findings,
    troubles: Sequence[Trouble],
    expectations: Sequence[Expectation],
) -> None:
    """Prints what was found, what is amiss, and what can be expected."""
    parts: list[RenderableType] = [_members(found)]
    if found.workers:
        parts += [_workers(found.workers), _ways(found)]
    if troubles:
        parts.append(_troubles(troubles))
    parts += [_expectation(one) for one in expectations if not one.trouble]
    parts.append(_verdict(found, troubles))
    console.print(Group(*parts), markup=False, highlight=False, emoji=False)


def to_json(
    found: Findings,
    troubles: Sequence[Trouble],
    expectations: Sequence[Expectation],
) -> dict[str, Any]:
    """Returns all of it as JSON values; where a number is infinite, null."""
    said = {
        "ok": is_well(troubles),
        "troubles": [asdict(one) for one in troubles],
        "expectations": [{**asdict(one), "ratio": one.ratio} for one in expectations],
        **asdict(found),
    }
    for worker, told in zip(found.workers, said["workers"], strict=True):
        told["rate"] = None if worker.speed is None else rate_of(worker.speed)
    finite: dict[str, Any] = _finite(said)
    return finite


def is_well(troubles: Sequence[Trouble]) -> bool:
    """Returns whether ``fk.distribute`` would work."""
    return not any(one.fatal for one in troubles)


def _members(found: Findings) -> Table:
    table = _table("", "python", "fcdcc_keras", "dask", "distributed", "clock")
    _row(table, "client", found.client, "")
    scheduler = found.scheduler
    if scheduler.door == "scheduler":
        _row(table, "scheduler", scheduler.software, _clock(scheduler.clock))
    return table


def _workers(workers: Sequence[WorkerFound]) -> Table:
    table = _table(
        "worker", "fcdcc_keras", "python", "engine", "speed", "memory", "clock"
    )
    for worker in workers:
        software = worker.software
        ours = None if software is None else software.packages.get("fcdcc_keras")
        table.add_row(
            worker.name.removeprefix("tcp://"),
            ours or "–",
            "–" if software is None else software.python,
            _engine(worker),
            "–" if worker.speed is None else f"{count(rate_of(worker.speed))}/s",
            _memory(worker),
            _clock(worker.clock),
        )
    return table


def _ways(found: Findings) -> Table:
    table = _table(
        *("way", "client\n→", "scheduler\n→", "→\nscheduler", "→\nworkers"),
        *("round\ntrip", "throughput"),
    )
    link = found.scheduler.link
    table.add_row("scheduler", "✓", "", "", "", *_link(link))
    for worker in found.workers:
        back = worker.to_scheduler
        table.add_row(
            worker.name.removeprefix("tcp://"),
            _way(worker.by_client, worker.answers_client),
            _way(worker.by_scheduler, worker.answers_scheduler),
            _way(back, back is not None and back.how == "open"),
            _to_workers(worker),
            *_link(worker.link),
        )
    return table


def _troubles(troubles: Sequence[Trouble]) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in troubles:
        whose = ", ".join(one.where[:_WHOSE])
        if len(one.where) > _WHOSE:
            whose += f" and {len(one.where) - _WHOSE} more"
        mark = Text("✗", "bold red") if one.fatal else Text("!", "bold yellow")
        said = Text(f"{whose}: ", "bold")
        said.append(f"{one.what}.", "not bold")
        table.add_row(mark, said)
        table.add_row("", Text(f"→ {one.mend}.", "cyan"))
    return Padding(table, (1, 0, 0, 0))


def _expectation(one: Expectation) -> Text:
    over = f"{one.model} over {one.workers} workers: "
    if not one.alone:
        text = f"{over}too little was measured to say what can be expected."
    elif not one.over_workers:
        text = (
            f"{over}no part of it is done sooner than on this device alone "
            f"({milliseconds(one.alone)} ms an image)."
        )
    else:
        text = (
            f"{over}about {one.ratio:.1f} times one device "
            f"({milliseconds(one.expected)} ms an image instead of "
            f"{milliseconds(one.alone)})."
        )
    return Text(f"\n{text} A worker holds up to {bytes_text(one.held)} of kernels.")


def _verdict(found: Findings, troubles: Sequence[Trouble]) -> Text:
    if is_well(troubles):
        workers = len(found.workers)
        return Text(
            f"\nfk.distribute works here, over {workers} workers.", "bold green"
        )
    if all(one.kind == "missing" for one in troubles if one.fatal):
        text = "\nfk.distribute works here, but not over all workers that are expected."
        return Text(text, "bold yellow")
    return Text("\nfk.distribute does not work here as it is.", "bold red")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _row(table: Table, name: str, software: Software | None, clock: str) -> None:
    if software is None:
        table.add_row(name, "–", "–", "–", "–", clock)
        return
    packages = software.packages
    versions = [packages.get(p) or "–" for p in ("fcdcc_keras", "dask", "distributed")]
    table.add_row(name, software.python, *versions, clock)


def _engine(worker: WorkerFound) -> str:
    engines = {} if worker.software is None else worker.software.engines
    if worker.speed is not None:
        name = worker.speed.engine
        return f"{name} {engines.get(name) or ''}".strip()
    there = [f"{n} {v}" for n, v in engines.items() if v and n != "keras"]
    return ", ".join(there) or "–"


def _memory(worker: WorkerFound) -> str:
    used, limit = worker.memory.used, worker.memory.limit
    of = f" of {bytes_text(limit)}" if limit else ""
    paused = ", paused" if worker.status == "paused" else ""
    return f"{bytes_text(used)}{of}{paused}"


def _clock(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:+.1f} s"


def _way(touch: Touch | None, well: bool) -> str:
    if well:
        return "✓"
    if touch is None:
        return "?"
    return "✗ no answer" if touch.how == "open" else f"✗ {touch.how}"


def _to_workers(worker: WorkerFound) -> str:
    touched = worker.to_workers.values()
    cut = sum(touch.how != "open" for touch in touched)
    if cut:
        return f"✗ {cut} of {len(touched)}"
    return "✓" if touched else "?"


def _link(link: MeasuredWay | None) -> tuple[str, str]:
    if link is None:
        return "–", "–"
    rate = "–" if link.bandwidth is None else f"{bytes_text(link.bandwidth)}/s"
    return f"{milliseconds(link.round_trip)} ms", rate


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
