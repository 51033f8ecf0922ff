"""Taking worker processes of a local cluster away, and giving them back."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import psutil

from fcdcc_keras.errors import ClusterError

_RESTART_SECONDS = 60.0
_POLL_SECONDS = 0.05


class Saboteur:
    """Stops, resumes, restarts and kills worker processes of a local cluster.

    Workers are numbered by their addresses in ascending order, as executors and
    traces number them. A context manager: stopped processes run again after it,
    whatever happens inside. Only for a cluster whose workers run on this machine.
    """

    def __init__(self, client: Any) -> None:
        """Notes the processes.

        Args:
            client: A ``distributed.Client`` of a local cluster.
        """
        pids = client.run(os.getpid)
        self._client = client
        self._addresses = frozenset(pids)
        self._processes = [psutil.Process(pids[address]) for address in sorted(pids)]
        self._stopped: set[psutil.Process] = set()
        self._restarted = 0

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self._processes)

    def stop(self, worker: int) -> None:
        """Stops a worker (SIGSTOP): it is silent, and its connections stay open."""
        self._processes[worker].suspend()
        self._stopped.add(self._processes[worker])

    def resume(self, worker: int) -> None:
        """Lets a stopped worker run again (SIGCONT)."""
        self._processes[worker].resume()
        self._stopped.discard(self._processes[worker])

    def restart(self, worker: int) -> None:
        """Kills a worker's process (SIGKILL); its nanny starts another."""
        self._processes[worker].kill()
        self._restarted += 1

    def kill(self, worker: int) -> None:
        """Kills a worker and its nanny (SIGKILL): nobody takes its place."""
        process = self._processes[worker]
        nanny = process.parent()
        if nanny is None or nanny.pid == os.getpid():
            process.kill()
            return
        family = [nanny, *nanny.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()

    def stop_restarted(self) -> None:
        """Waits for the processes that nannies start anew, and stops them too.

        They would otherwise start while something is timed, and then take part.

        Raises:
            ClusterError: They had not joined the cluster after a minute.
        """
        deadline = time.monotonic() + _RESTART_SECONDS
        while len(joined := self._client.nthreads().keys() - self._addresses) < (
            self._restarted
        ):
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"Workers that were killed must be back in {_RESTART_SECONDS:g} s. "
                    f"Received: {len(joined)} of {self._restarted} are. Give the "
                    "machine less to do beside this."
                )
            time.sleep(_POLL_SECONDS)
        for pid in self._client.run(os.getpid, workers=list(joined)).values():
            process = psutil.Process(pid)
            process.suspend()
            self._stopped.add(process)

    def __enter__(self) -> Saboteur:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def expected_losses() -> Iterator[None]:
    """Silences Dask's and our own warnings about workers lost on purpose."""
    loggers = [logging.getLogger(name) for name in ("distributed", "fcdcc_keras")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


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
