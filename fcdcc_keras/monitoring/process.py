"""The figures of all coded models of this process."""

from __future__ import annotations

import threading

from fcdcc_keras.monitoring.tally import Tally, Totals

_lock = threading.Lock()
_tallies: list[Tally] = []
_before = Totals()
"""Of models that are closed."""


def new_tally() -> Tally:
    """Returns what adds up the records of one model."""
    tally = Tally()
    with _lock:
        _tallies.append(tally)
    return tally


def ended(tally: Tally) -> None:
    """Keeps the sums of a model that is closed."""
    with _lock:
        if tally in _tallies:
            _tallies.remove(tally)
            _before.add(tally.totals())


def of_this_process() -> Totals:
    """Returns the sums over all models, since the process began."""
    whole = Totals()
    with _lock:
        for totals in (_before, *(tally.totals() for tally in _tallies)):
            whole.add(totals)
    return whole
