"""Taking worker processes of a local cluster away, and giving them back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import psutil

_RESTART_SECONDS = 60.0


class Saboteur:
    """Stops one worker process of a local cluster and kills another.

    A context manager: the stopped process runs again after it, whatever happens
    inside. Only for a cluster whose workers run on this machine.
    """

    def __init__(self, client: Any) -> None:
        """Chooses the victims.

        Args:
            client: A ``distributed.Client`` of a local cluster with at least two
                worker processes.
        """
        pids = client.run(os.getpid)
        first, second = (pids[address] for address in sorted(pids)[:2])
        self._client = client
        self._workers = len(pids)
        self._to_stop = psutil.Process(first)
        self._to_kill = psutil.Process(second)

    def strike(self) -> None:
        """Stops the one (SIGSTOP) and kills the other (SIGKILL)."""
        self._to_stop.suspend()
        self._to_kill.kill()

    def settle(self) -> None:
        """Waits until the nanny of the killed process has started its successor.

        Its start would otherwise compete with whatever is timed next.
        """
        self._client.wait_for_workers(self._workers, timeout=_RESTART_SECONDS)

    def __enter__(self) -> Saboteur:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self._to_stop.resume()


@contextlib.contextmanager
def orderly_end() -> Iterator[None]:
    """Lets a termination or a closed terminal unwind the program like Ctrl-C.

    A stopped process cannot notice that its parent has gone: without this it
    would be left behind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, _exit) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
