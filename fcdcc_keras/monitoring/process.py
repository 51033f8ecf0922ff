"""Sums over all coded models, and over all schedulers, of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fcdcc_keras.monitoring.totals import Totals

Source = Callable[[], Totals]


class Sums:
    """Sums over what comes and goes; never less than before. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: list[Source] = []
        self._before = Totals()
        """Of those that have gone."""

    def begin(self, source: Source) -> None:
        """Adds what gives further sums."""
        with self._lock:
            self._sources.append(source)

    def end(self, source: Source) -> None:
        """Keeps the last sums of what has gone; again, this does nothing."""
        with self._lock:
            if source in self._sources:
                self._sources.remove(source)
                self._before.add(source())

    def totals(self) -> Totals:
        """Returns the sums of all, since the process began."""
        whole = Totals()
        with self._lock:
            whole.add(self._before)
            for source in self._sources:
                whole.add(source())
        return whole


MODELS = Sums()
"""Of this process as a client."""
SCHEDULERS = Sums()
"""Of the schedulers that run here."""
