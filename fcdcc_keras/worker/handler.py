"""The handlers that answer ``direct`` requests, installed in running workers."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import mmap
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fcdcc_keras.dask_worker_internals import (
    add_handler,
    before_closing,
    check_worker,
    connection_args_of,
    data_of,
    handler_of,
    has_handler,
    no_reply_yet,
    process_of,
    threads_of,
)
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.text import text_of
from fcdcc_keras.worker.attachments import UNUSED_FOR, Attachments, attach
from fcdcc_keras.worker.connection import packed
from fcdcc_keras.worker.counters import COUNTERS
from fcdcc_keras.worker.exchange import HALO, OVER, Exchange, Read, Turn
from fcdcc_keras.worker.farewell import Farewell
from fcdcc_keras.worker.reply import LOST_SHARE, Reply
from fcdcc_keras.worker.stages import ExchangeStage, unpacked_stages
from fcdcc_keras.worker.weights import Weights, replied
from fcdcc_keras.worker.zeros import with_zeros, without_zeros

logger = logging.getLogger(__name__)

HANDLER = "fcdcc_compute"
ATTACH = "fcdcc_attach"
"""Names of the handlers among the worker's own."""
READY = "ready as "
"""What a worker answers that has the handlers, before the name of its process."""
INLINE = 500_000_000
"""Multiply-adds up to which a program runs on the worker's event loop: a thread
would be asked and answer later than that one hears again, after some ten milliseconds,
or on a small board a tenth of a second."""
_LIGHT = 1 << 18
"""Numbers that are ready to compute with at once."""


def install(dask_worker: Any) -> bytes:
    """Adds the handlers to a worker; ``PlainRequests.run`` calls this there.

    Returns:
        What Dask calls its process, after ``READY``.
    """

    async def answer_attach(name: Sequence[int], size: int) -> bool:
        try:
            memory = attach(name, size, write=True)
        except OSError:
            return False
        if memory[:8] == b"fcdcc is":
            memory[:8] = b"here too"
        return True

    check_worker(dask_worker)
    if not has_handler(dask_worker, HANDLER):  # of another client
        desk = _Desk(dask_worker)
        add_handler(dask_worker, HANDLER, desk.compute)
        add_handler(dask_worker, HALO, desk.take)
        add_handler(dask_worker, OVER, desk.end)
        add_handler(dask_worker, ATTACH, answer_attach)
        try:
            before_closing(dask_worker, desk.close)
            Farewell(dask_worker, lambda: desk.under_way)
        except ClusterError as error:
            logger.warning("This worker does not say when it leaves: %s", error)
    COUNTERS.show()
    return f"{READY}{process_of(dask_worker)}".encode()


async def exchanged(
    dask_worker: Any,
    turn: Turn,
    weights: Sequence[Weights],
    first: Read,
    stages: Sequence[ExchangeStage],
) -> tuple[Reply, list[tuple[float, float]]]:
    """Has a worker do its part in an exchange that no request is for, to time it.

    Args:
        dask_worker: The worker, which has the handlers, as all others of the exchange.
        turn: Its part.
        weights: Of each chain.
        first: Of the first chain.
        stages: What follows each chain but the last.

    Returns:
        What came of it, and when the worker began and ended each chain, in seconds.
    """
    desk, spans = handler_of(dask_worker, HALO).__self__, list[tuple[float, float]]()

    async def compute(*work: Any) -> Reply:
        began = time.perf_counter()
        reply: Reply = await desk._compute(*work)
        spans.append((began, time.perf_counter()))
        return reply

    return await desk._exchange.run(turn, weights, first, stages, compute), spans


class _Desk:
    """Where a worker takes requests, and answers each when it is done."""

    def __init__(self, dask_worker: Any) -> None:
        self._worker = dask_worker
        self._under_way: set[asyncio.Task[None]] = set()
        # Both go with the connection: nothing of a client stays when it is gone.
        self._writing: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()
        self._attached: WeakKeyDictionary[Any, Attachments] = WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None
        self._exchange = Exchange(connection_args_of(dask_worker))

    @property
    def under_way(self) -> int:
        """How many requests have not been answered."""
        return len(self._under_way)

    async def compute(self, comm: Any, **request: Any) -> Any:
        """Begins with a request; the next is read while this one is computed."""
        task = asyncio.ensure_future(self._serve(comm, **request))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return no_reply_yet()

    async def take(self, comm: Any, **halo: Any) -> Any:
        """Takes what another worker gives; nothing is answered."""
        self._exchange.take(**halo)
        return no_reply_yet()

    async def end(self, comm: Any, name: str) -> Any:
        """Gives an exchange up, as the client says; nothing is answered."""
        self._exchange.end(name)
        return no_reply_yet()

    async def close(self, how: dict[str, Any]) -> None:
        """Gives up what waits for other workers, as this one closes."""
        await self._exchange.close()

    async def _serve(
        self,
        comm: Any,
        number: int,
        share: str,
        about: str,
        data: Any,
        stages: bytes | None = None,
    ) -> None:
        try:
            answer = await self._answer(comm, share, json.loads(about), data, stages)
        except Exception as error:  # whatever it was, the client waits for an answer
            answer = _answer(Reply(error=text_of(error), finished=time.time()))
        with suppress(OSError):  # the client is gone
            async with self._writing.setdefault(comm, asyncio.Lock()):
                await comm.write({"number": number, **answer})

    async def _answer(
        self,
        comm: Any,
        share: str,
        request: dict[str, Any],
        data: Any,
        packed_: bytes | None,
    ) -> dict[str, Any]:
        stages = () if packed_ is None else unpacked_stages(packed_)
        weights, there = list[Weights](), data_of(self._worker)
        for key in (share, *(stage.share for stage in stages)):
            if key not in there:
                return _answer(Reply(error=LOST_SHARE, lost=key))
            weights.append(there[key])
        try:
            data, target = self._mapped(comm, request, data)
        except (OSError, ValueError) as error:
            return _answer(Reply(error=f"the client's memory is gone: {error}"))
        read = partial(_inputs, request, data), request["shape"], request["program"]
        if packed_ is None:
            sparse, memory = request.get("sparse") is not None, _writable(target)
            work = partial(_replied, memory=memory, sparse=sparse)
            reply = await self._compute(weights[0], *read, work)
        else:
            turn = Turn(*request["turn"])
            reply = await self._exchange.run(turn, weights, read, stages, self._compute)
        COUNTERS.note(reply)
        return _answer(reply)

    async def _compute(
        self,
        weights: Weights,
        inputs: Callable[[], np.ndarray],
        shape: Sequence[int],
        program: str,
        work: Callable[..., Reply] = replied,
    ) -> Reply:
        """Runs a program, here or in a thread, whichever ends sooner."""
        numbers = sum(array.size for array in weights.arrays)
        # To get large weights ready takes a small board seconds, in which it would
        # answer nobody.
        quick = numbers <= _LIGHT or weights.is_ready(program)
        if quick and math.prod(shape[:-1]) * numbers <= INLINE:
            return work(weights, inputs, program)
        return await asyncio.get_running_loop().run_in_executor(
            threads_of(self._worker), work, weights, inputs, program
        )

    def _mapped(
        self, comm: Any, request: dict[str, Any], data: Any
    ) -> tuple[Any, mmap.mmap | None]:
        """Returns where a request's input is, and where its result may go."""
        if "input" not in request:
            return data, None
        attached = self._attached.setdefault(comm, Attachments())
        now, (name, size, _) = time.monotonic(), request["input"]
        data = attached.get(name, size, now, write=False)
        if self._timer is None:
            self._shrink_later()
        name, size = request["output"]
        return data, attached.get(name, size, now, write=True)

    def _shrink_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(UNUSED_FOR, self._shrink)

    def _shrink(self) -> None:
        """Lets go of the memory of clients that do not use it any more."""
        self._timer, now = None, time.monotonic()
        if any([attached.shrink(now) for attached in list(self._attached.values())]):
            self._shrink_later()


def _inputs(request: dict[str, Any], data: Any) -> np.ndarray:
    """Returns what a request is computed from."""
    shape, dtype, offset = request["shape"], request["dtype"], 0
    if "input" in request:
        *_, offset = request["input"]
    if request.get("sparse"):
        return with_zeros(data, tuple(shape), np.dtype(dtype))
    coded = np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
    if isinstance(data, mmap.mmap):
        coded = np.asarray(_Unprotected(coded))
    taken: np.ndarray = coded
    return taken


def _replied(
    weights: Weights,
    inputs: Callable[[], np.ndarray],
    program: str,
    memory: memoryview | None,
    sparse: bool,
) -> Reply:
    reply = replied(weights, inputs, program, memory)
    if sparse and reply.array is not None:
        reply = replace(reply, without_zeros=without_zeros(reply.array))
    return reply


def _writable(target: mmap.mmap | None) -> memoryview | None:
    return None if target is None else memoryview(target)


class _Unprotected:
    """An array of memory that must not be written to, which does not say so.

    TensorFlow, which writes to none, would copy one that does.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.__array_interface__ = {
            **array.__array_interface__,
            "data": (array.ctypes.data, False),
        }


def _answer(reply: Reply) -> dict[str, Any]:
    """Returns a reply as it goes into a message."""
    sent = reply.array if reply.without_zeros is None else reply.without_zeros
    data = None if sent is None or reply.shared else packed(sent)
    return {"about": reply.to_wire(), "data": data}
