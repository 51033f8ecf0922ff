"""Subtasks from the client to its workers, without a round trip by the scheduler.

A handler on each worker takes a coded input and answers with the result. It needs two
thirds of the time of Dask's actors, and answers in plain bytes: the client never
unpickles what a worker returned. Kernel shares are scattered data as under ``tasks``,
so that Dask frees them with the client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.shared_memory import SharedMemory, rounded
from fcdcc_keras.execution.subtask import Convolution, Reply
from fcdcc_keras.execution.transport import Subtask, Transport, no_reply
from fcdcc_keras.execution.worker_side import ATTACH, HANDLER, packed

if TYPE_CHECKING:
    from distributed import Client

    from fcdcc_keras.execution.shared_memory import Segment

_CONNECTIONS = 4096
"""Connections that may be open at a time, over all workers."""
_SHARED_FROM = 1 << 16
"""Bytes of input and result from which they are shared with workers of this machine."""


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
        self._memory = SharedMemory()
        self._shares_memory: dict[str, bool] = {}

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
        self._memory.close()

    async def _request(self, subtask: Subtask, parameters: dict[str, Any]) -> Reply:
        coded, segment = subtask.coded, None
        about = {
            "shape": coded.shape,
            "dtype": coded.dtype.str,
            "convolution": parameters,
        }
        try:
            if coded.nbytes + subtask.result_nbytes >= _SHARED_FROM:
                segment = await self._segment(subtask)
            if segment is None:
                data = packed(coded)
            else:
                start = rounded(coded.nbytes)
                within = np.frombuffer(segment.memory, np.uint8, coded.nbytes)
                within[:] = coded.reshape(-1).view(np.uint8)
                data = None
                about["memory"] = [segment.name, segment.size, start]
            answer = await self._rpc(
                subtask.address,
                HANDLER,
                share=subtask.share.key,
                about=json.dumps(about),
                data=data,
            )
            return self._read(answer, segment)
        except BaseException as error:
            if segment is not None:
                segment.forget()  # the worker may be writing to it yet
            if not isinstance(error, Exception):
                raise
            # Whatever it was, there is no result.
            return no_reply(f"the worker gave no result: {error!r}")

    async def _segment(self, subtask: Subtask) -> Segment | None:
        """Returns memory for the input and the result, if the worker can share it."""
        address = subtask.address
        if address not in self._shares_memory:
            self._shares_memory[address] = await self._can_attach(address)
        if not self._shares_memory[address]:
            return None
        try:
            needed = rounded(subtask.coded.nbytes) + subtask.result_nbytes
            return self._memory.take(needed)
        except OSError:  # no memory of this kind is left
            return None

    async def _can_attach(self, address: str) -> bool:
        from distributed.comm.addressing import get_address_host
        from distributed.utils import get_ip

        try:
            host = get_address_host(address)
            # Where a worker has a network of its own, its machine counts as another.
            if not address.startswith(("tcp://", "tls://")) or get_ip(host) != host:
                return False
            probe = self._memory.take(1)
        except (OSError, ValueError):
            return False
        probe.memory[:8] = b"fcdcc is"
        seen = await self._rpc(address, ATTACH, name=probe.name, size=probe.size)
        same = bool(seen and probe.memory[:8] == b"here too")
        self._memory.give_back(probe)
        return same

    async def _rpc(self, address: str, op: str, **message: Any) -> Any:
        if not self._started:
            await self._pool
            self._started = True
        return await getattr(self._pool(address), op)(**message)

    def _read(self, answer: dict[str, Any], segment: Segment | None) -> Reply:
        """Returns the reply that a worker sent as plain data and bytes."""
        about, array = json.loads(answer["about"]), None
        shape, dtype = about["shape"], about["dtype"]
        if about["shared"] and segment is not None:
            start = about["shared"]
            array = self._memory.array(segment, start, shape, dtype)
        else:
            if about["error"] is None:
                array = np.frombuffer(_bytes(answer["data"]), dtype).reshape(shape)
            if segment is not None:
                self._memory.give_back(segment)
        return Reply(
            array=array,
            error=about["error"],
            started=about["started"],
            finished=about["finished"],
        )


def _bytes(sent: Any) -> Any:
    from distributed.protocol.compression import decompress
    from distributed.protocol.serialize import Serialize

    if isinstance(sent, bytes):
        return sent
    if isinstance(sent, Serialize):  # from a worker in this process
        return sent.data
    frames = sent.frames
    if "compression" in sent.header:
        frames = decompress(sent.header, frames)
    return frames[0] if len(frames) == 1 else b"".join(frames)
