"""The handler that answers ``direct`` requests, installed in running workers."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np

from fcdcc_keras.execution.subtask import Convolution, Reply, run_subtask

HANDLER = "fcdcc_convolve"
"""Name of the handler among the worker's own."""
INLINE = 10_000_000
"""Multiply-adds up to which a convolution runs on the worker's event loop: handing it
to a thread would take longer, and the worker hears nothing for a millisecond."""


def install(dask_worker: Any) -> str:
    """Adds the handler to a worker; ``client.run`` calls this there."""

    async def convolve(
        share: str, coded: np.ndarray, convolution: dict[str, Any]
    ) -> dict[str, Any]:
        if share not in dask_worker.data:
            return _answer(_refused("the worker has lost its kernel share"))
        kernel, conv = dask_worker.data[share], Convolution(**convolution)
        if coded.size // coded.shape[-1] * math.prod(kernel.shape) <= INLINE:
            return _answer(run_subtask(kernel, coded, conv))
        loop, threads = asyncio.get_running_loop(), dask_worker.executors["default"]
        reply = await loop.run_in_executor(threads, run_subtask, kernel, coded, conv)
        return _answer(reply)

    dask_worker.handlers[HANDLER] = convolve
    return "ready"


def _refused(why: str) -> Reply:
    return Reply(array=None, error=why, started=0.0, finished=0.0)


def _answer(reply: Reply) -> dict[str, Any]:
    """Returns a reply as plain data and bytes, whatever the subtask returned."""
    from distributed.protocol.serialize import to_serialize

    array, error = reply["array"], reply["error"]
    if error is None and (type(array) is not np.ndarray or array.dtype.hasobject):
        error = f"the subtask returned a {type(array).__name__}, not an array"
    answer = {key: float(reply[key]) for key in ("started", "finished")}
    if error is not None or array is None:
        return {**answer, "error": str(error), "data": None}
    array = np.ascontiguousarray(array)
    return {
        **answer,
        "error": None,
        "shape": array.shape,
        "dtype": array.dtype.str,
        "data": to_serialize(array.reshape(-1).view(np.uint8)),
    }
