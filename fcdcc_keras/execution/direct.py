"""Subtasks from the client to its workers, without a round trip by the scheduler.

A handler on each worker takes a coded input and answers with the result. It needs two
thirds of the time of Dask's actors, and answers in plain bytes: the client never
unpickles what a worker returned. Kernel shares are scattered data as under ``tasks``,
so that Dask frees them with the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.subtask import Convolution, Reply
from fcdcc_keras.execution.transport import Subtask, Transport, no_reply
from fcdcc_keras.execution.worker_side import HANDLER

if TYPE_CHECKING:
    from distributed import Client

_CONNECTIONS = 4096
"""Connections that may be open at a time, over all workers."""


class DirectTransport(Transport):
    """A subtask is one request to its worker."""

    name = "direct"

    def __init__(self, client: Client) -> None:
        """Takes a client whose workers have the handler; see ``worker_side``."""
        from distributed.core import ConnectionPool

        super().__init__(client)
        # Not the client's own pool, which would deserialize what workers send.
        self._pool = ConnectionPool(
            limit=_CONNECTIONS,
            deserialize=False,
            connection_args=client.security.get_connection_args("client"),
        )
        self._started = False

    def start(
        self, name: str, subtasks: Sequence[Subtask], conv: Convolution
    ) -> list[asyncio.Task[Reply]]:
        """Sends the requests; see ``Transport.start``."""
        parameters = asdict(conv)
        return [
            asyncio.ensure_future(self._request(subtask, parameters))
            for subtask in subtasks
        ]

    async def ping(self, address: str) -> None:
        """Asks the worker itself."""
        await self._rpc(address, "echo", data=1)

    async def close(self) -> None:
        """Closes the connections to the workers."""
        await self._pool.close()

    async def _request(self, subtask: Subtask, parameters: dict[str, Any]) -> Reply:
        from distributed.protocol.serialize import to_serialize

        try:
            answer = await self._rpc(
                subtask.address,
                HANDLER,
                share=subtask.share.key,
                coded=to_serialize(subtask.coded),
                convolution=parameters,
            )
            return _read(answer)
        except Exception as error:  # whatever it was, there is no result
            return no_reply(f"the worker gave no result: {error!r}")

    async def _rpc(self, address: str, op: str, **message: Any) -> Any:
        if not self._started:
            await self._pool
            self._started = True
        return await getattr(self._pool(address), op)(**message)


def _read(answer: dict[str, Any]) -> Reply:
    """Returns the reply that a worker sent as plain data and bytes."""
    array = None
    if answer["error"] is None:
        data = _bytes(answer["data"])
        array = np.frombuffer(data, answer["dtype"]).reshape(answer["shape"])
    return Reply(
        array=array,
        error=answer["error"],
        started=answer["started"],
        finished=answer["finished"],
    )


def _bytes(sent: Any) -> Any:
    from distributed.protocol.compression import decompress
    from distributed.protocol.serialize import Serialize

    if isinstance(sent, Serialize):  # from a worker in this process
        return sent.data
    frames = sent.frames
    if "compression" in sent.header:
        frames = decompress(sent.header, frames)
    return frames[0] if len(frames) == 1 else b"".join(frames)
