"""Multiplexed connection: requests in order, answers matched by number.

Dask's own calls take a connection each, or wait for the answer. Of several inputs for
one worker the second must not share the wire with the first, and must be there when
that is done: so they follow each other on one connection, and answers come back by
number, whenever they are ready.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import numpy as np

from fcdcc_keras.dask_internals import as_frames

_CLOSED = "the connection was closed"
_SMALL = 1 << 16
"""Bytes up to which an array is copied into its message: Dask's own way of sending
arrays takes longer than the copy."""


class Connection:
    """Opened by its first request, and again by the next after it broke.

    Not after ``close``: nobody would close it again.
    """

    def __init__(self, address: str, connection_args: dict[str, Any]) -> None:
        """Takes a worker's address, and the security that Dask connects with."""
        self._address = address
        self._connection_args = connection_args
        self._comm: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether it has been opened, and is not known to have broken."""
        return self._comm is not None and not self._comm.closed()

    async def ask(self, op: str, **message: Any) -> dict[str, Any]:
        """Sends a request, and returns its answer, not deserialized.

        Raises:
            OSError: The worker cannot be reached, or the connection broke.
        """
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        try:
            async with self._writing:
                comm = await self._open()
                self._waiting[number] = answer
                await comm.write({"op": op, "number": number, **message})
            result: dict[str, Any] = await answer
            return result
        finally:
            self._waiting.pop(number, None)

    async def tell(self, op: str, **message: Any) -> None:
        """Sends what is not answered.

        Raises:
            OSError: The worker cannot be reached, or the connection broke.
        """
        async with self._writing:
            comm = await self._open()
            await comm.write({"op": op, **message})

    def close(self) -> None:
        """Breaks the connection for good; what waits for it fails."""
        self._closed = True
        if self._comm is not None:
            self._comm.abort()
        if self._reader is not None:
            self._reader.cancel()
        self._fail(_CLOSED)

    async def _open(self) -> Any:
        from distributed.comm import connect  # type: ignore[attr-defined]

        if not (self._closed or self.is_open):
            self._comm = await connect(
                self._address, deserialize=False, **self._connection_args
            )
            self._reader = asyncio.ensure_future(self._read(self._comm))
        if self._closed:  # meanwhile, perhaps
            self.close()
            raise OSError(_CLOSED)
        return self._comm

    async def _read(self, comm: Any) -> None:
        why = "the connection broke"
        try:
            while True:
                answer = await comm.read()
                waiting = self._waiting.get(answer.get("number"))
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except Exception as error:
            # Whatever it was: nothing that comes after it can be trusted.
            why = f"the connection broke: {error!r}"
        finally:
            comm.abort()
            if comm is self._comm:
                self._fail(why)

    def _fail(self, why: str) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(OSError(why))


def packed(array: np.ndarray) -> Any:
    """Returns an array's bytes as they go into a message."""
    array = np.ascontiguousarray(array)
    if array.nbytes <= _SMALL:
        return array.tobytes()
    return as_frames(array.reshape(-1).view(np.uint8))
