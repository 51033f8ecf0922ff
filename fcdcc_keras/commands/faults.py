"""Faults on purpose: scripts that say what happens to which worker and when, and how.

Workers are numbered by their addresses in ascending order, as executors and traces
number them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal, TypeVar, cast

import psutil

from fcdcc_keras.errors import ClusterError, FcdccError

_RESTART_SECONDS = 60.0
_POLL_SECONDS = 0.05
_S = TypeVar("_S", bound="Striker")

Action = Literal["stop", "resume", "restart", "kill"]
SYNTAX = '"kill 2 at image 100; stop 0,3 at 40%; resume 3 at 80%"'
"""An example, for messages."""
_FAULT = re.compile(
    r"(stop|resume|restart|kill)\s+(\d+(?:\s*,\s*\d+)*)\s+at\s+"
    r"(?:image\s+(\d+)|(\d+(?:\.\d+)?)\s*%)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Fault:
    """One line of a script."""

    text: str
    """As it was written."""
    action: Action
    """"stop" a process and "resume" it, "restart" it, or "kill" it for good."""
    workers: tuple[int, ...]
    """Indices of the workers, from 0 to n − 1."""
    image: int | None
    """Images before it, or None: ``share`` says when."""
    share: float = 0.0
    """Part of the images before it."""

    def due(self, images: int) -> int:
        """Returns after how many of the images it happens."""
        return math.floor(self.share * images) if self.image is None else self.image


def parse(script: str) -> tuple[Fault, ...]:
    """Returns the faults of a script, in its order.

    Args:
        script: Faults with semicolons or line ends between them, each an action,
            workers and "at image I" or "at P%"; after "#" a line is a comment.

    Raises:
        FcdccError: A line is none.
    """
    lines = [line.partition("#")[0] for line in script.splitlines()]
    parts = [part.strip() for line in lines for part in line.split(";")]
    return tuple(_fault(part) for part in parts if part)


def _fault(text: str) -> Fault:
    found = _FAULT.fullmatch(text)
    if found is None:
        raise FcdccError(
            "A fault must be stop, resume, restart or kill, the numbers of workers, "
            f"and 'at image I' or 'at P%'. Received: {text!r}. Write for example "
            f"{SYNTAX}."
        )
    action, workers, image, percent = found.groups()
    return Fault(
        text=text,
        action=cast("Action", action.lower()),
        workers=tuple(int(worker) for worker in workers.split(",")),
        image=None if image is None else int(image),
        share=float(percent or 0) / 100,
    )


def schedule(faults: Sequence[Fault], workers: int, images: int) -> list[Fault]:
    """Returns faults in the order in which they happen, after checking them.

    Args:
        faults: What ``parse`` gave.
        workers: n.
        images: How many images are predicted.

    Raises:
        FcdccError: A fault cannot happen.
    """
    ordered = sorted(faults, key=lambda fault: fault.due(images))
    gone: set[int] = set()
    for fault in ordered:
        if fault.due(images) >= images:
            raise FcdccError(
                f"A fault must happen before the last image. Received: {fault.text!r} "
                f"with {images} images. Let it happen earlier."
            )
        for worker in fault.workers:
            if worker >= workers:
                raise FcdccError(
                    f"Workers are numbered from 0 to {workers - 1}. Received: "
                    f"{fault.text!r}. Name one of them, or use more `--workers`."
                )
            if worker in gone:
                raise FcdccError(
                    "A worker that was killed or restarted takes no more faults. "
                    f"Received: {fault.text!r}. Name another worker."
                )
        if fault.action in ("kill", "restart"):
            gone.update(fault.workers)
    return ordered


def take_due(ordered: deque[Fault], image: int, images: int) -> list[Fault]:
    """Takes those faults off that happen before one image of so many is predicted."""
    due = []
    while ordered and ordered[0].due(images) < image:
        due.append(ordered.popleft())
    return due


class Striker:
    """Stops, resumes, restarts and kills worker processes of this machine.

    A context manager: stopped processes run again after it, whatever happens inside.
    """

    def __init__(self, process: Callable[[int], psutil.Process]) -> None:
        """Takes what finds the process of a worker by its number."""
        self._process = process
        self._stopped: set[psutil.Process] = set()

    def strike(self, fault: Fault) -> None:
        """Has a fault happen to its workers."""
        for worker in fault.workers:
            getattr(self, fault.action)(worker)

    def stop(self, worker: int) -> None:
        """Stops a worker (SIGSTOP): it is silent, and its connections stay open."""
        self._stop(self._process(worker))

    def resume(self, worker: int) -> None:
        """Lets a stopped worker run again (SIGCONT)."""
        process = self._process(worker)
        process.resume()
        self._stopped.discard(process)

    def restart(self, worker: int) -> None:
        """Kills a worker's process (SIGKILL); its nanny starts another."""
        self._process(worker).kill()

    def kill(self, worker: int) -> None:
        """Kills a worker and its nanny (SIGKILL): nobody takes its place."""
        process = self._process(worker)
        nanny = process.parent()
        if nanny is None or nanny.pid == os.getpid():
            process.kill()
            return
        for member in (nanny, *nanny.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()

    def _stop(self, process: psutil.Process) -> None:
        process.suspend()
        self._stopped.add(process)

    def __enter__(self: _S) -> _S:
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


class Saboteur(Striker):
    """Strikes the workers of a local cluster."""

    def __init__(self, client: Any) -> None:
        """Notes the processes.

        Args:
            client: A ``distributed.Client`` of a cluster whose workers run here.
        """
        pids = client.run(os.getpid)
        self._client = client
        self._addresses = frozenset(pids)
        processes = [psutil.Process(pids[address]) for address in sorted(pids)]
        super().__init__(processes.__getitem__)
        self._restarted = 0

    def restart(self, worker: int) -> None:
        """Kills a worker's process (SIGKILL); its nanny starts another."""
        super().restart(worker)
        self._restarted += 1

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
            self._stop(psutil.Process(pid))


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
