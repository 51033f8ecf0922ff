"""What each kind of fault does to a worker: from outside, or inside its process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.faults.places import SLOWER, Place
from fcdcc_keras.commands.faults import Striker

if TYPE_CHECKING:
    from distributed import Client

_END_TIMEOUT = 20.0
_BITE = 1 << 25
_BITES = 80
_MODES = cycle(("sys.exit", "segfault", "graceful"))
_ENDS = {
    "stop": "resume",
    "link": "plug_in",
    "slow": "hasten",
    "exception": "mend",
    "leave": "join",
    "terminate": "join",
}
"""What takes a fault back that does not end by itself."""


class Acts(Striker):
    """Begins and ends faults, through a client of its own.

    Each kind of a script's is a method that takes the number of a place.
    """

    def __init__(self, client: Client, places: Sequence[Place]) -> None:
        super().__init__(lambda number: places[number].worker())
        self._client, self._places = client, places

    def address(self, place: Place) -> str | None:
        """Returns the address of a place's worker, if the scheduler has it."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        found = [a for a, w in workers.items() if w["name"] == place.name]
        return found[0] if found else None

    def holds(self, address: str | None) -> int:
        """Returns how many shares a worker holds, if the scheduler has it."""
        return len(self._client.has_what([address])[address]) if address else 0

    def begin(self, kind: str, place: Place) -> None:
        """Has a fault happen to a place's worker, which is well."""
        getattr(self, kind)(place.index)

    def end(self, kind: str, place: Place) -> None:
        """Takes back what does not end by itself."""
        if kind in _ENDS:
            getattr(self, _ENDS[kind])(place.index)

    def link(self, number: int) -> None:
        """Pulls the network cable out."""
        self._places[number].link(False)

    def plug_in(self, number: int) -> None:
        """Plugs it in."""
        self._places[number].link(True)

    def slow(self, number: int) -> None:
        """Has it take ten times as long."""
        if self._places[number].has_quota:
            self._places[number].slow(SLOWER)
        else:
            self._run(number, slow_down)

    def hasten(self, number: int) -> None:
        """Has it be as fast as before."""
        if self._places[number].has_quota:
            self._places[number].slow(1)
        else:
            self._run(number, be_well)

    def exception(self, number: int) -> None:
        """Has every subtask raise."""
        self._run(number, fail)

    def mend(self, number: int) -> None:
        """Has subtasks compute again."""
        self._run(number, be_well)

    def memory(self, number: int) -> None:
        """Has it exceed its memory limit."""
        self._run(number, eat)

    def chaos(self, number: int) -> None:
        """Has Dask's own plugin end it, in turn in one of its ways."""
        self._run(number, be_killed, next(_MODES))

    def leave(self, number: int) -> None:
        """Has it leave gracefully, and its nanny too."""
        place = self._places[number]
        self._client.retire_workers([self.address(place)], close_workers=True)
        self._await_end(place)
        place.end()

    def terminate(self, number: int) -> None:
        """Tells its nanny to end, as a batch system or Kubernetes does.

        Raises:
            RuntimeError: It did not, or not with success.
        """
        place = self._places[number]
        place.terminate()
        self._await_end(place)
        status = place.end()
        if status != 0:
            raise RuntimeError(f"{place.name} ended with {status}")

    def join(self, number: int) -> None:
        """Has another one come."""
        self._places[number].start()

    def _await_end(self, place: Place) -> None:
        deadline = time.monotonic() + _END_TIMEOUT
        while not place.ended() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _run(self, number: int, function: Callable[..., Any], *args: Any) -> None:
        place = self._places[number]
        address = self.address(place)
        if address is None:
            raise RuntimeError(f"{place.name} has no worker")
        self._client.run(function, *args, workers=[address])


def slow_down() -> None:
    """Makes every subtask of this worker take ten times as long."""
    from fcdcc_keras.worker.weights import Weights

    plain = _plain()

    def run(*args: Any) -> Any:
        started = time.perf_counter()
        result = plain(*args)
        time.sleep((SLOWER - 1) * (time.perf_counter() - started))
        return result

    Weights.run = run


def fail() -> None:
    """Makes every subtask of this worker raise."""
    from fcdcc_keras.worker.weights import Weights

    _plain()

    def run(*args: Any) -> Any:
        raise RuntimeError("a scripted failure")

    Weights.run = run


def be_well() -> None:
    """Makes subtasks of this worker right again."""
    from fcdcc_keras.worker.weights import Weights

    Weights.run = _plain()


def eat() -> None:
    """Has this worker take memory until it is ended for that."""

    def grow() -> None:
        eaten = []
        with suppress(MemoryError):
            for _ in range(_BITES):
                eaten.append(np.ones(_BITE, np.uint8))
                time.sleep(0.01)
        time.sleep(5)

    threading.Thread(target=grow, daemon=True).start()


async def be_killed(mode: str, dask_worker: Any) -> None:
    """Has Dask's own plugin end this worker soon."""
    from distributed.chaos import KillWorker

    await dask_worker.plugin_add(KillWorker(delay="0.1 s", mode=mode), name="chaos")


def _plain() -> Callable[..., Any]:
    from fcdcc_keras.worker.weights import Weights

    if not hasattr(Weights, "plain_run"):
        Weights.plain_run = Weights.run
    plain: Callable[..., Any] = Weights.plain_run
    return plain
