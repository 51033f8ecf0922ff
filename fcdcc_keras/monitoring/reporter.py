"""The client tells its scheduler what became of its calls, about once a second.

Only the client knows that: which answers were needed, which came late, which worker
stood in for another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any
from uuid import uuid4

from fcdcc_keras.dask_internals import run_on_loop
from fcdcc_keras.execution.cluster.patience import while_scheduler_answers
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.executors.dask import DaskExecutor
from fcdcc_keras.execution.records import LayerRecord, UnderWay
from fcdcc_keras.monitoring.figures import Figures
from fcdcc_keras.monitoring.last_records import LastRecords
from fcdcc_keras.monitoring.messages import HANDLER, Told, Wanted
from fcdcc_keras.monitoring.process import MODELS
from fcdcc_keras.monitoring.totals import CallTally

logger = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds from something that happens to the message that tells of it."""
_TIMEOUT = 5.0
"""Seconds that the scheduler gets to take a message."""
_LAST_TIMEOUT = 1.0
"""Seconds that it gets for the last one."""
_MOST = 1000
"""Subtasks that a message tells of, or one micro-batch's; of more, the last ones."""
_MOST_OWED = 200
"""Micro-batches that are told of again when what was missing has come."""


class Reporter:
    """Listens to a model's records; called in any thread.

    While something happens and nobody looks, the scheduler is told sums alone: to tell
    of each subtask takes time from those that follow.
    """

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
        self._new = LastRecords[int](_MOST)
        """Those not told of."""
        self._owed: deque[tuple[int, LayerRecord]] = deque(maxlen=_MOST_OWED)
        """Those told of, to which answers were missing."""
        self._happened = False
        """Whether there are new ones since the last message."""
        self._showed = False
        """Whether something was under way by the last message."""
        self._watched = False
        """Whether somebody looks, as the scheduler said last."""
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
            self._executor.on_begin = self._wake
        except Exception as error:  # whatever it is, models are computed without
            logger.warning("The scheduler shows no figures of this model: %r", error)
            self._executor = None

    def __call__(self, record: LayerRecord) -> None:
        """Notes what became of a micro-batch."""
        self._tally.add(record)
        if self._executor is not None:
            with self._lock:
                self._happened = True
                self._new.keep(next(self._numbers), record)
            self._wake()

    def close(self) -> None:
        """Tells what has not been told."""
        executor = self._executor
        untold = self._new or self._showed
        if executor is not None and untold and not executor.closed:
            try:
                run_on_loop(executor.client, self._tell, executor, _LAST_TIMEOUT, True)
            except Exception as error:  # the client or its scheduler is gone
                logger.debug("%r is not told the last figures", error)
        self._executor = None
        MODELS.end(self._tally.totals)

    def _wake(self) -> None:
        """Has the scheduler be told a little later, if that is not to be already."""
        executor = self._executor
        if executor is None or self._due:
            return
        with self._lock:
            begin, self._due = not self._due, True
        if begin:
            loop: Any = executor.client.loop
            loop.add_callback(self._later)

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(EVERY, self._start)

    def _start(self) -> None:
        if self._executor is not None and not self._executor.closed:
            telling = self._tell(self._executor, _TIMEOUT)
            self._sending = asyncio.ensure_future(telling)

    async def _tell(
        self, executor: DaskExecutor, timeout: float, last: bool = False
    ) -> None:
        under_way = executor.under_way()
        with self._lock:
            happened, self._happened = self._happened, False
            for number, record in self._answered():
                self._new.keep(number, record)
            quiet = last or not (happened or under_way)
            records = self._new.take() if self._watched or quiet else []
            self._owed.extend(each for each in records if _owes(each[1]))
            news = bool(records or under_way or happened or self._showed)
            self._showed = bool(under_way)
            self._due = again = bool(self._owed or self._new or under_way)
        try:
            if news:
                shown = under_way if self._watched and not last else ()
                wanted = await asyncio.wait_for(
                    self._ask(executor, records, shown), timeout
                )
                self._watched = wanted == "events"
                if wanted == "nothing":
                    self._executor = None
        except Exception as error:  # sums are told again; what happened is not
            logger.debug("The scheduler was not told of figures: %r", error)
        if again:  # else whoever has news sees to it, maybe already
            self._later()

    async def _ask(
        self,
        executor: DaskExecutor,
        records: Sequence[tuple[int, LayerRecord]],
        under_way: Sequence[UnderWay],
    ) -> Wanted:
        """Tells the scheduler, and returns what it wants from now on."""
        name, totals = executor.client.id, self._tally.totals()
        told = Told(name, self._source, totals, records, under_way)
        asked = executor.transport.requests.ask_scheduler(HANDLER, text=told.to_text())
        wanted: Wanted = await asked
        return wanted

    def _answered(self) -> list[tuple[int, LayerRecord]]:
        """Returns, and forgets, those whose missing answers have come."""
        came = [each for each in self._owed if not _owes(each[1])]
        self._owed = deque((o for o in self._owed if _owes(o[1])), maxlen=_MOST_OWED)
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
