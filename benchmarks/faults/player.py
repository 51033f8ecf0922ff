"""Plays a script of faults while somebody else predicts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.faults.acts import Acts
from benchmarks.faults.script import RESTARTING, Gust

if TYPE_CHECKING:
    from benchmarks.faults.places import Place, Site
    from fcdcc_keras.execution.records import LayerRecord

BACK_TIMEOUT = 60.0
"""Seconds after which a worker must work again."""


class Witness:
    """Looks at what became of predictions: when did which worker last answer."""

    def __init__(self) -> None:
        self.answered: dict[str, float] = {}
        """Seconds since the epoch, by address."""
        self.local = 0
        """Layers that the client had to compute."""

    def see(self, records: Iterable[LayerRecord]) -> None:
        """Looks at a prediction's records."""
        for record in records:
            self.local += record.local is not None
            for task in record.subtasks:
                if task.outcome == "used" and task.received is not None:
                    last = self.answered.get(task.address, 0.0)
                    self.answered[task.address] = max(last, task.received)


@dataclass
class Played:
    """One fault that has happened. Times in seconds since the epoch."""

    fault: Gust
    began: float
    ended: float = 0.0
    back: float | None = None
    """When the place's worker was first seen to have answered a layer again, with its
    share of every layer."""
    address: str | None = None
    """Where it did."""
    trouble: str = ""


@dataclass
class Storm:
    """Faults under way, each lane in a thread of its own."""

    site: Site
    witness: Witness
    script: Sequence[Sequence[Gust]]
    played: list[Played] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._closing = ExitStack()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._now = 0

    def __enter__(self) -> Storm:
        from distributed import Client

        client = Client(self.site.address, set_as_default=False)
        self._closing.enter_context(client)
        self._acts = self._closing.enter_context(Acts(client, self.site.places))
        self._shares = min(map(len, client.has_what().values()))
        for lane in self.script:
            thread = threading.Thread(target=self._play, args=(lane,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(BACK_TIMEOUT + 30)
        self._closing.close()

    @property
    def over(self) -> bool:
        """Whether all has happened."""
        return not any(thread.is_alive() for thread in self._threads)

    def _play(self, lane: Sequence[Gust]) -> None:
        for fault in lane:
            if self.stopping.wait(fault.pause):
                return
            played = Played(fault, time.time())
            with self._lock:
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                self.played.append(played)
            try:
                self._happen(fault, self.site.places[fault.place], played)
            except Exception as error:
                played.trouble = repr(error)
            with self._lock:
                self._now -= 1

    def _happen(self, fault: Gust, place: Place, played: Played) -> None:
        acts, kind = self._acts, fault.kind
        old = acts.address(place)
        if kind not in RESTARTING:
            acts.begin(kind, place)
            self.stopping.wait(fault.lasts)
            acts.end(kind, place)
            played.ended = time.time()
            self._wait_until_back(played, old)
            return
        with place.starting():
            acts.begin(kind, place)
            acts.end(kind, place)
            new = self._wait_for_new(place, old, again=kind == "chaos")
            played.ended = time.time()
            self._wait_until_back(played, new)

    def _wait_for_new(self, place: Place, old: str | None, again: bool) -> str | None:
        deadline = time.monotonic() + BACK_TIMEOUT
        while time.monotonic() < deadline:
            if again and place.ended():
                place.start()  # the nanny of a worker that exits goes with it
            address = self._acts.address(place)
            if address not in (None, old):
                return address
            time.sleep(0.1)
        return None

    def _wait_until_back(self, played: Played, address: str | None) -> None:
        """Waits until a worker has answered, and has its share of every layer.

        Before that it is missing where it has none, and another fault would be one more
        than there may be.
        """
        deadline, played.address = time.monotonic() + BACK_TIMEOUT, address
        while time.monotonic() < deadline:
            answered = self.witness.answered.get(played.address or "", 0.0)
            if answered > played.ended and self._acts.holds(address) >= self._shares:
                played.back = time.time()
                return
            time.sleep(0.02)
        played.trouble = f"it did not work again, with {self._acts.holds(address)} of "
        played.trouble += f"{self._shares} shares"
