"""The handlers that answer ``direct`` requests, installed in running workers."""

from __future__ import annotations

import asyncio
import json
import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

from fcdcc_keras.execution.shared_memory import attach
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

    async def convolve(share: str, about: str, data: Any) -> dict[str, Any]:
        if share not in dask_worker.data:
            return _answer(_refused("the worker has lost its kernel share"))
        kernel, request = dask_worker.data[share], json.loads(about)
        pixels = math.prod(request["shape"][:-1])
        if pixels * math.prod(kernel.shape) <= INLINE:
            return _run(kernel, request, data)
        loop, threads = asyncio.get_running_loop(), dask_worker.executors["default"]
        return await loop.run_in_executor(threads, _run, kernel, request, data)

    async def answer_attach(name: Sequence[int], size: int) -> bool:
        try:
            memory = attach(name, size)
        except OSError:
            return False
        if memory[:8] == b"fcdcc is":
            memory[:8] = b"here too"
        return True

    dask_worker.handlers[HANDLER] = convolve
    dask_worker.handlers[ATTACH] = answer_attach
    return "ready"


def packed(array: np.ndarray) -> Any:
    """Returns an array's bytes as they go into a message."""
    from distributed.protocol.serialize import to_serialize

    array = np.ascontiguousarray(array)
    if array.nbytes <= _SMALL:
        return array.tobytes()
    return to_serialize(array.reshape(-1).view(np.uint8))


def _run(kernel: KernelShare, request: dict[str, Any], data: Any) -> dict[str, Any]:
    shape, dtype = request["shape"], request["dtype"]
    parameters: dict[str, Any] = request["convolution"]
    conv = Convolution(**{name: tuple(pair) for name, pair in parameters.items()})
    if "memory" not in request:
        coded = np.frombuffer(data, dtype).reshape(shape)
        return _answer(run_subtask(kernel, coded, conv))
    name, size, start = request["memory"]
    try:
        memory = attach(name, size)
    except OSError as error:
        return _answer(_refused(f"the client's memory is gone: {error}"))
    coded = np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)
    return _answer(run_subtask(kernel, coded, conv), memory, start)


def _refused(why: str) -> Reply:
    return Reply(array=None, error=why, started=0.0, finished=0.0)


def _answer(
    reply: Reply, memory: mmap.mmap | None = None, start: int = 0
) -> dict[str, Any]:
    """Returns a reply as plain data and bytes, whatever the subtask returned.

    Args:
        reply: The subtask's.
        memory: Shared memory to put the result into, if it has the room.
        start: Where in it.
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
        "shared": 0,
    }
    if error is None and array is not None:
        about["shape"], about["dtype"] = array.shape, array.dtype.str
        if memory is not None and array.nbytes <= len(memory) - start:
            target = np.frombuffer(memory, array.dtype, array.size, start)
            target.reshape(array.shape)[...] = array
            about["shared"] = start
        else:
            data = packed(array)
    return {"about": json.dumps(about), "data": data}
