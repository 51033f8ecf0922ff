"""What is printed of a plan's chains, and of what it is worth."""

from __future__ import annotations

from collections.abc import Sequence

from fcdcc_keras.markup import Table
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.prediction import Alone, Latency
from fcdcc_keras.text import bytes_text, milliseconds


def chain_table(title: str, stretches: Sequence[StretchPlan]) -> Table:
    """Returns chains as a table, costs for one image.

    Args:
        title: Printed above it.
        stretches: Whose chains they are.
    """
    rows = []
    for stretch in stretches:
        before, kept = stretch.entry, False
        for chain in stretch.chains:
            rows.append((before, chain.to, *_cells(chain, kept=kept)))
            before, kept = chain.to, chain.exchange
    columns = ["behind layer", "to layer", "by", "tiles", "largest, of all"]
    columns += ["up", "down", "held / worker", "expected ms"]
    return Table(title, columns, rows, right=columns[4:])


def _cells(chain: ChainPlan, *, kept: bool) -> tuple[str, ...]:
    expected = "" if chain.latency is None else milliseconds(chain.latency.expected)
    if chain.place == "client":
        return "client", "", "", "", "", "", expected
    by = "workers, hedged" if chain.hedged else "workers, eager"
    up = bytes_text(chain.upload)
    if kept:
        up = f"halos exchanged, {bytes_text(chain.exchanged)}"
    return (
        by,
        "×".join(map(str, chain.tiles)) or "unequal",
        f"{chain.work:.2f}",
        up,
        "kept" if chain.exchange else bytes_text(chain.download),
        bytes_text(chain.held),
        expected,
    )


def latency_line(latency: Latency) -> str:
    """Returns what is expected of one image."""
    return (
        f"one image: {milliseconds(latency.expected)} ms expected, 99% within "
        f"{milliseconds(latency.p99)} ms; "
        f"{milliseconds(latency.usual)} ms when nobody straggles\n"
    )


def worth(
    alone: Alone,
    latency: Latency,
    rate: float | None,
    *,
    workers: int,
    pays: bool,
    over_workers: bool,
) -> str:
    """Returns what one device alone would take, and whether the plan is worth it.

    Args:
        alone: What it would take.
        latency: Of the plan.
        rate: Images a second under the plan, where these are what counts.
        workers: n.
        pays: Whether anything is planned otherwise than plain Keras.
        over_workers: Whether workers compute anything.
    """
    own = [("plain Keras", alone.keras)]
    if alone.engine:
        own.append(("its light engine", alone.engine))
    ways = ", ".join(f"{milliseconds(each)} ms by {name}" for name, each in own)
    text = f"one device alone: {ways}\n"
    if not pays:
        return text + (
            f"Nothing pays here: over {_workers(workers)} no part of the model is done "
            "sooner, sending included, than by plain Keras on this device alone. All "
            "of it stays here.\n"
        )
    each = latency.expected if rate is None else 1 / rate
    ratios = " and ".join(f"{alone_ / each:.2f}" for _, alone_ in own)
    where = f"over {_workers(workers)}" if over_workers else "without any worker"
    if rate is not None:
        text += f"many images: {rate:.3g} a second\n"
    text += f"{where} it is {ratios} times as fast\n"
    if not over_workers:
        text += (
            "Workers do not pay here: the client's light engine does it by itself.\n"
        )
    elif each >= alone.least:
        text += "In time it does not pay: one device alone is faster.\n"
    return text


def _workers(number: int) -> str:
    return f"{number} workers" if number > 1 else "1 worker"
