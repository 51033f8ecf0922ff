"""What each kind of fault does to a worker: from outside, or inside its process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.faults.places import SLOWER, Place

if TYPE_CHECKING:
    from distributed import Client

_END_TIMEOUT = 20.0
_BITE = 1 << 25
_BITES = 80
_MODES = cycle(("sys.exit", "segfault", "graceful"))


class Acts:
    """Begins and ends faults, through a client of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def address(self, place: Place) -> str | None:
        """Returns the address of a place's worker, if the scheduler has it."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        found = [a for a, w in workers.items() if w["name"] == place.name]
        return found[0] if found else None

    def begin(self, kind: str, place: Place) -> None:
        """Has a fault happen to a place's worker, which is well."""
        if kind == "kill":
            place.send(signal.SIGKILL)
        elif kind == "stop":
            place.send(signal.SIGSTOP)
        elif kind == "link":
            place.link(False)
        elif kind == "slow" and place.has_quota:
            place.slow(SLOWER)
        elif kind == "slow":
            self._run(place, slow_down)
        elif kind == "exception":
            self._run(place, fail)
        elif kind == "memory":
            self._run(place, eat)
        elif kind == "chaos":
            self._run(place, be_killed, next(_MODES))
        else:
            self._leave(place)

    def end(self, kind: str, place: Place) -> None:
        """Takes back what does not end by itself."""
        if kind == "stop":
            place.send(signal.SIGCONT)
        elif kind == "link":
            place.link(True)
        elif kind == "slow" and place.has_quota:
            place.slow(1)
        elif kind in ("slow", "exception"):
            self._run(place, be_well)
        elif kind == "leave":
            place.start()

    def _run(self, place: Place, function: Callable[..., Any], *args: Any) -> None:
        address = self.address(place)
        if address is None:
            raise RuntimeError(f"{place.name} has no worker")
        self._client.run(function, *args, workers=[address])

    def _leave(self, place: Place) -> None:
        self._client.retire_workers([self.address(place)], close_workers=True)
        deadline = time.monotonic() + _END_TIMEOUT
        while not place.ended() and time.monotonic() < deadline:
            time.sleep(0.02)
        place.end()


def slow_down() -> None:
    """Makes every convolution of this worker take ten times as long."""
    from fcdcc_keras.execution import subtask

    plain = _plain()

    def convolve(*args: Any) -> Any:
        started = time.perf_counter()
        result = plain(*args)
        time.sleep((SLOWER - 1) * (time.perf_counter() - started))
        return result

    subtask.convolve = convolve


def fail() -> None:
    """Makes every subtask of this worker raise."""
    from fcdcc_keras.execution import subtask

    _plain()

    def convolve(*args: Any) -> Any:
        raise RuntimeError("a scripted failure")

    subtask.convolve = convolve


def be_well() -> None:
    """Makes convolutions of this worker right again."""
    from fcdcc_keras.execution import subtask

    subtask.convolve = _plain()


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
    from fcdcc_keras.execution import subtask

    if not hasattr(subtask, "plain_convolve"):
        subtask.plain_convolve = subtask.convolve
    plain: Callable[..., Any] = subtask.plain_convolve
    return plain
