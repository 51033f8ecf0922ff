"""How a worker leaves: it says so, ends what it has begun, and closes then.

Whoever waits for it is told by an event of Dask's, which the scheduler passes on at
once, and gives what it has to others. Meanwhile it answers as before.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from fcdcc_keras.dask_internals import CUT_OFF, SCHEDULER_CLOSES
from fcdcc_keras.dask_worker_internals import (
    before_closing,
    keys_of,
    lifetime_of,
    process_of,
    retired,
)
from fcdcc_keras.worker.process import GRACE, grace_of

NEWS = "fcdcc-news"
"""Topic of the events that tell clients who comes, who goes, and who is about to."""
LEAVING = "leaving"
"""What an event says of the process of a worker that is about to leave."""
CONV = "fcdcc:conv:"
"""What the keys of all subtasks begin with that are Dask tasks."""
OURS = "fcdcc:"
"""What the keys of all that clients give workers begin with."""
LIFETIME = "worker-lifetime-reached"
"""Dask's reason for closing of a worker whose time is over."""
_QUIET = 0.3
"""Seconds without anything to do after which nothing more will come: a client that
was told sends nothing, but what it sent before may be on its way."""
_LOOK_EVERY = 0.02
"""Seconds between looks whether there is anything to do."""
_CLOSING = 3.0
"""Seconds that Dask gets to close then, when the process is to end."""


class Farewell:
    """Of one worker, before it closes, for whatever reason."""

    def __init__(self, dask_worker: Any, answering: Callable[[], int]) -> None:
        """Takes the worker, and what tells how many requests it has not answered."""
        self._worker = dask_worker
        self._answering = answering
        self._leaving: asyncio.Future[None] | None = None
        before_closing(dask_worker, self._before)

    async def _before(self, how: dict[str, Any]) -> None:
        """Ends what has begun; alters how Dask closes the worker."""
        reason, timeout = how.get("reason", ""), how.get("timeout", GRACE)
        patience = min(grace_of(os.environ), timeout / 2)
        if reason.startswith(SIGNALLED):
            patience = grace_of(os.environ)
            how["timeout"] = min(timeout, _CLOSING)
        if self._leaving is None:
            alone = reason in {*CUT_OFF, SCHEDULER_CLOSES} or retired(self._worker)
            leaving = self._leave(patience, alone)
            self._leaving = asyncio.ensure_future(leaving)
        await asyncio.shield(self._leaving)

    async def _leave(self, patience: float, alone: bool) -> None:
        """Says farewell, and waits until there is nothing to do.

        Args:
            patience: Most seconds to wait.
            alone: Whether there is no scheduler that would tell anybody, or fetch what
                a task has given.
        """
        if not alone:
            self._worker.log_event(NEWS, {LEAVING: process_of(self._worker)})
        busy, until = time.monotonic(), time.monotonic() + patience
        quiet = 0.0 if alone else _QUIET
        while (now := time.monotonic()) < until:
            owes = not alone and any(k.startswith(CONV) for k in keys_of(self._worker))
            if self._answering() or owes:
                busy = now
            elif now - busy >= quiet:
                return
            await asyncio.sleep(_LOOK_EVERY)


SIGNALLED = "signal"
"""What a reason for closing begins with that is a signal."""


def close_at_sigterm(dask_worker: Any) -> None:
    """Has a worker close properly when its process is told to end, by SIGTERM.

    Its nanny starts it anew, unless that was told, too. A second one ends the process
    at once. Does nothing in another than the main thread, where others decide about
    signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    closing: set[asyncio.Task[Any]] = set()

    def close() -> None:
        task = loop.create_task(
            dask_worker.close(nanny=False, reason=f"{SIGNALLED}-sigterm")
        )
        closing.add(task)  # the loop keeps only weak references

    def told(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(close)

    signal.signal(signal.SIGTERM, told)


def close_in_time(dask_worker: Any) -> None:
    """Has a worker that is to end after some time leave before, with a farewell.

    At that time Dask has all that it holds copied to others first, kernels as well,
    which is for nothing: whoever takes over its part is given its own. But what others
    have there is to be kept: a worker with any of that is left to Dask.
    """
    lifetime, restart = lifetime_of(dask_worker)
    if lifetime is None:
        return
    notice = min(grace_of(os.environ), lifetime / 2)
    closing: set[asyncio.Task[Any]] = set()

    def close() -> None:
        if all(key.startswith(OURS) for key in keys_of(dask_worker)):
            how = {"nanny": not restart, "reason": LIFETIME, "timeout": notice}
            task = asyncio.ensure_future(dask_worker.close(**how))
            closing.add(task)  # the loop keeps only weak references

    asyncio.get_running_loop().call_later(lifetime - notice, close)


def wait_for_farewell(nanny: Any) -> None:
    """Has a nanny wait for its worker's farewell before it ends its process."""

    async def patiently(how: dict[str, Any]) -> None:
        # It kills after four fifths of that, of which the worker waits for a half.
        how["timeout"] = max(how.get("timeout", 0.0), 2.5 * grace_of(os.environ))

    before_closing(nanny, patiently)
