"""The client tells its scheduler what became of its calls, about once a second.

Only the client knows that: which answers were needed, which came late, which worker
stood in for another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import uuid4

from fcdcc_keras.dask_internals import run_on_loop
from fcdcc_keras.execution.cluster.patience import while_scheduler_answers
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.executors.dask import DaskExecutor
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.figures import Figures
from fcdcc_keras.monitoring.messages import HANDLER, Told
from fcdcc_keras.monitoring.process import MODELS
from fcdcc_keras.monitoring.totals import CallTally

logger = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds from something that happened to the message that tells of it."""
_TIMEOUT = 5.0
"""Seconds that the scheduler gets to take a message."""
_LAST_TIMEOUT = 1.0
"""Seconds that it gets for the last one."""
_MOST = 200
"""Micro-batches that a message tells of; of more, the last ones."""


class Reporter:
    """Listens to a model's records; called in any thread."""

    def __init__(self, executor: Executor) -> None:
        """Takes the workers that compute the model.

        Args:
            executor: On a Dask cluster, its scheduler is told; else nobody is.
        """
        self._executor = executor if isinstance(executor, DaskExecutor) else None
        self._tally = CallTally()
        MODELS.begin(self._tally.totals)
        self._source = uuid4().hex
        self._numbers = count()
        self._new: deque[tuple[int, LayerRecord]] = deque(maxlen=_MOST)
        self._owed: deque[tuple[int, LayerRecord]] = deque(maxlen=_MOST)
        """Those told of, to which answers were missing."""
        self._lock = threading.Lock()
        self._due = False
        self._sending: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Has the scheduler ready to be told, or tells nobody."""
        if self._executor is None:
            return
        client = self._executor.client
        try:
            registering = client.register_plugin, Figures()
            client.sync(while_scheduler_answers, client, *registering)
        except Exception as error:  # whatever it is, models are computed without
            logger.warning("The scheduler shows no figures of this model: %r", error)
            self._executor = None

    def __call__(self, record: LayerRecord) -> None:
        """Notes what became of a micro-batch."""
        self._tally.add(record)
        executor = self._executor
        if executor is None:
            return
        with self._lock:
            self._new.append((next(self._numbers), record))
            begin, self._due = not self._due, True
        if begin:
            loop: Any = executor.client.loop
            loop.add_callback(self._later)

    def close(self) -> None:
        """Tells what has not been told."""
        executor = self._executor
        if executor is not None and self._new and not executor.closed:
            try:
                run_on_loop(executor.client, self._tell, executor, _LAST_TIMEOUT)
            except Exception as error:  # the client or its scheduler is gone
                logger.debug("%r is not told the last figures", error)
        self._executor = None
        MODELS.end(self._tally.totals)

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(EVERY, self._start)

    def _start(self) -> None:
        if self._executor is not None and not self._executor.closed:
            telling = self._tell(self._executor, _TIMEOUT)
            self._sending = asyncio.ensure_future(telling)

    async def _tell(self, executor: DaskExecutor, timeout: float) -> None:
        with self._lock:
            records = [*self._answered(), *self._new]
            self._owed.extend(each for each in self._new if _owes(each[1]))
            self._new.clear()
            self._due = bool(self._owed)
        told = Told(executor.client.id, self._source, self._tally.totals(), records)
        try:
            if records:
                asking = executor.transport.requests.ask_scheduler(
                    HANDLER, text=told.to_text()
                )
                wanted = await asyncio.wait_for(asking, timeout)
                if not wanted:  # there is nothing that would show them
                    self._executor = None
        except Exception as error:  # sums are told again; what happened is not
            logger.debug("The scheduler was not told of figures: %r", error)
        if self._due:
            self._later()

    def _answered(self) -> list[tuple[int, LayerRecord]]:
        """Returns, and forgets, those whose missing answers have come."""
        came = [each for each in self._owed if not _owes(each[1])]
        self._owed = deque((o for o in self._owed if _owes(o[1])), maxlen=_MOST)
        return came


def _owes(record: LayerRecord) -> bool:
    return any(t.outcome == "late" and t.received is None for t in record.subtasks)


def reporting(
    executor: Executor, cleanup: Callable[[], None]
) -> tuple[Reporter, Callable[[], None]]:
    """Returns what listens to a model's records, and what ends it and the rest.

    Args:
        executor: The workers that compute the model.
        cleanup: Ends whatever was started for it.
    """
    reporter = Reporter(executor)

    def ending() -> None:
        try:
            reporter.close()
        finally:
            cleanup()

    reporter.begin()
    return reporter, ending
