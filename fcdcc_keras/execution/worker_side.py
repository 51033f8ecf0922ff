"""The handlers that answer ``direct`` requests, installed in running workers."""

from __future__ import annotations

import asyncio
import json
import math
import mmap
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fcdcc_keras.execution.shared_memory import Attachments, attach
from fcdcc_keras.execution.subtask import (
    Convolution,
    KernelShare,
    Reply,
    run_subtask,
)

HANDLER = "fcdcc_convolve"
ATTACH = "fcdcc_attach"
"""Names of the handlers among the worker's own."""
INLINE = 500_000_000
"""Multiply-adds up to which a convolution runs on the worker's event loop: a thread
would be asked and answer later than that one hears again, after some ten milliseconds,
or on a small board a tenth of a second."""
_SMALL = 1 << 16
"""Bytes up to which an array is copied into its message: Dask's own way of sending
arrays takes longer than the copy."""


def install(dask_worker: Any) -> str:
    """Adds the handlers to a worker; ``client.run`` calls this there."""

    async def answer_attach(name: Sequence[int], size: int) -> bool:
        try:
            memory = attach(name, size)
        except OSError:
            return False
        if memory[:8] == b"fcdcc is":
            memory[:8] = b"here too"
        return True

    dask_worker.handlers[HANDLER] = _Desk(dask_worker).convolve
    dask_worker.handlers[ATTACH] = answer_attach
    return "ready"


class _Desk:
    """Where a worker takes requests, and answers each when it is done."""

    def __init__(self, dask_worker: Any) -> None:
        self._worker = dask_worker
        self._under_way: set[asyncio.Task[None]] = set()
        # Both go with the connection: nothing of a client stays when it is gone.
        self._writing: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()
        self._attached: WeakKeyDictionary[Any, Attachments] = WeakKeyDictionary()

    async def convolve(self, comm: Any, **request: Any) -> Any:
        """Begins with a request; the next is read while this one is computed."""
        from distributed.core import Status

        task = asyncio.ensure_future(self._serve(comm, **request))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return Status.dont_reply

    async def _serve(
        self, comm: Any, number: int, share: str, about: str, data: Any
    ) -> None:
        kernel, request = self._worker.data.get(share), json.loads(about)
        attached = self._attached.setdefault(comm, Attachments())
        if kernel is None:
            answer = _answer(_refused("the worker has lost its kernel share"))
        elif math.prod(request["shape"][:-1]) * math.prod(kernel.shape) <= INLINE:
            answer = _run(kernel, request, data, attached)
        else:
            loop, threads = asyncio.get_running_loop(), self._worker.executors
            answer = await loop.run_in_executor(
                threads["default"], _run, kernel, request, data, attached
            )
        with suppress(OSError):  # the client is gone
            async with self._writing.setdefault(comm, asyncio.Lock()):
                await comm.write({"number": number, **answer})


def packed(array: np.ndarray) -> Any:
    """Returns an array's bytes as they go into a message."""
    from distributed.protocol.serialize import to_serialize

    array = np.ascontiguousarray(array)
    if array.nbytes <= _SMALL:
        return array.tobytes()
    return to_serialize(array.reshape(-1).view(np.uint8))


def _run(
    kernel: KernelShare, request: dict[str, Any], data: Any, attached: Attachments
) -> dict[str, Any]:
    shape, dtype = request["shape"], request["dtype"]
    parameters: dict[str, Any] = request["convolution"]
    conv = Convolution(**{name: tuple(pair) for name, pair in parameters.items()})
    offset, target = 0, None
    try:
        if "input" in request:
            name, size, offset = request["input"]
            data = attached.get(name, size)
        if "output" in request:
            target = attached.get(*request["output"])
    except OSError as error:
        return _answer(_refused(f"the client's memory is gone: {error}"))
    coded = np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
    return _answer(run_subtask(kernel, coded, conv), target)


def _refused(why: str) -> Reply:
    return Reply(array=None, error=why, started=0.0, finished=0.0)


def _answer(reply: Reply, memory: mmap.mmap | None = None) -> dict[str, Any]:
    """Returns a reply as plain data and bytes, whatever the subtask returned.

    Args:
        reply: The subtask's.
        memory: Shared memory to put the result into, if it has the room.
    """
    array, error, data = reply["array"], reply["error"], None
    if error is None and (type(array) is not np.ndarray or array.dtype.hasobject):
        error = f"the subtask returned a {type(array).__name__}, not an array"
    about: dict[str, Any] = {
        "started": float(reply["started"]),
        "finished": float(reply["finished"]),
        "error": None if error is None else str(error),
        "shape": None,
        "dtype": None,
        "shared": False,
    }
    if error is None and array is not None:
        about["shape"], about["dtype"] = array.shape, array.dtype.str
        if memory is not None and array.nbytes <= len(memory):
            target = np.frombuffer(memory, array.dtype, array.size)
            target.reshape(array.shape)[...] = array
            about["shared"] = True
        else:
            data = packed(array)
    return {"about": json.dumps(about), "data": data}
