"""Subtasks from the client to its workers, without a round trip by the scheduler.

A handler on each worker takes a coded input and answers with the result. It needs two
thirds of the time of Dask's actors, and answers in plain bytes: the client never
unpickles what a worker returned. Kernel shares are scattered data as under ``tasks``,
so that Dask frees them with the client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.dask_internals import connection_args
from fcdcc_keras.wire.requests import bytes_of
from fcdcc_keras.wire.routes import Routes
from fcdcc_keras.wire.shared_memory import SharedMemory
from fcdcc_keras.wire.tasks import TaskTransport
from fcdcc_keras.wire.transport import Share, Subtask, Transport, on_this_machine
from fcdcc_keras.worker.attachments import UNUSED_FOR
from fcdcc_keras.worker.connection import Connection, packed
from fcdcc_keras.worker.exchange import OVER
from fcdcc_keras.worker.handler import ATTACH, HANDLER
from fcdcc_keras.worker.reply import Reply

if TYPE_CHECKING:
    from distributed import Client, Future

    from fcdcc_keras.wire.shared_memory import Segment

_SHARED_FROM = 1 << 16
"""Bytes of input and result from which they are shared with workers of this machine."""


class DirectTransport(Transport):
    """A subtask is one request to its worker."""

    name = "direct"

    def __init__(self, client: Client) -> None:
        """Takes a client whose workers have the handler; see ``worker.handler``."""
        super().__init__(client)
        self._connections: dict[str, Connection] = {}
        self._memory = SharedMemory()
        self._shares_memory: dict[str, bool] = {}
        self._tasks = TaskTransport(client)
        self._routes = Routes(self.reach, self._tasks.ping, self._drop)
        self._timer: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def way(self) -> str:
        """How subtasks reach the workers at present."""
        return "direct, tasks" if self._routes.cut else self.name

    def send(
        self, name: str, subtasks: Sequence[Subtask]
    ) -> list[Coroutine[Any, Any, Reply]]:
        """Sends the requests; see ``Transport.send``."""
        self._routes.try_again()
        return [
            self._routes.go(
                subtask.address,
                partial(self._request, subtask),
                partial(self._relayed, name, subtask),
            )
            for subtask in subtasks
        ]

    async def place(self, name: str, address: str, share: Share) -> Future[Any]:
        """Puts a coded kernel into a worker's memory; see ``Transport.place``."""
        scatter = partial(self._scatter, name, address, share)
        direct = bool(self._client.direct_to_workers)
        return await self._routes.go(
            address, partial(scatter, direct), partial(scatter, False)
        )

    def memory(self, nbytes: int) -> np.ndarray | None:
        """Returns memory that workers of this machine see, if there are such."""
        if nbytes < _SHARED_FROM or True not in list(self._shares_memory.values()):
            return None
        try:
            return self._memory.lend(nbytes)
        except OSError:  # none is left
            return None

    def leaves_zeros(self, address: str, nbytes: int) -> bool:
        """Returns whether it goes over a connection of ours; see ``Transport``."""
        shared = nbytes >= _SHARED_FROM and self._shares_memory.get(address, False)
        return not (shared or self._routes.cut)

    @property
    def exchanges(self) -> bool:
        """Whether no worker is asked by way of the scheduler; see ``Transport``."""
        return not self._routes.cut

    def disband(self, name: str, addresses: Sequence[str]) -> None:
        """Tells those that have a request by now; see ``Transport.disband``."""
        for address in self._connections.keys() & {*addresses}:
            telling = asyncio.ensure_future(
                self._tell_over(self._connections[address], name)
            )
            self._telling.add(telling)  # the loop keeps only weak references
            telling.add_done_callback(self._telling.discard)

    async def reach(self, address: str) -> str:
        """Asks the worker itself; see ``Transport.ping``."""
        return str((await self.requests.ask(address, "identity"))["id"])

    def forget(self, address: str) -> None:
        """Closes the connections to a worker; what waits there fails."""
        super().forget(address)
        self._shares_memory.pop(address, None)
        self._routes.forget(address)
        self._drop(address)

    async def ping(self, address: str) -> str:
        """Asks the worker itself; without an answer, by way of the scheduler."""
        return await asyncio.shield(self._routes.find(address))

    async def close(self) -> None:
        """Closes the connections to the workers."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.close()
        self._routes.close()
        await self._tasks.close()
        await super().close()
        if self._timer is not None:
            self._timer.cancel()
        self._memory.close()

    @staticmethod
    async def _tell_over(connection: Connection, name: str) -> None:
        with suppress(OSError):  # then it is told by nobody, and gives up in the end
            await connection.tell(OVER, name=name)

    async def _relayed(self, name: str, subtask: Subtask) -> Reply:
        if subtask.after is not None:
            raise OSError("the way to it was cut, and as a task it exchanges nothing")
        return await self._tasks.send(name, [subtask])[0]

    def _drop(self, address: str) -> None:
        if address in self._connections:
            self._connections.pop(address).close()

    async def _request(self, subtask: Subtask) -> Reply:
        target, data = None, None
        coded = subtask.coded
        about = {
            "shape": coded.shape,
            "dtype": coded.dtype.str,
            "program": subtask.program,
        }
        after, stages = subtask.after, None
        if after is not None:
            about["turn"] = [after.name, after.tile, after.patience]
            stages = after.stages
        try:
            if await self._shares(subtask):
                with suppress(OSError):  # no memory of this kind is left
                    # Kept until the answer: nothing else may be put there before.
                    coded = self._in_shared_memory(coded)
                    target = self._memory.take(subtask.result_nbytes, subtask.address)
            if target is None:
                left = subtask.without_zeros
                about["sparse"] = None if not subtask.sparse else left is not None
                data = packed(coded if left is None else left)
            else:
                about["input"] = self._memory.find(coded)
                about["output"] = [target.name, target.size]
            answer = await self._connection(subtask.address).ask(
                HANDLER,
                share=subtask.share.key,
                about=json.dumps(about),
                data=data,
                stages=stages,
            )
            return self._read(answer, target, subtask.result_nbytes)
        except BaseException as error:
            if target is not None:
                target.forget()  # the worker may be writing to it yet
            if isinstance(error, OSError) and subtask.address in self._connections:
                self._routes.find(subtask.address)
            raise
        finally:
            if self._timer is None and target is not None:
                self._shrink_later()

    async def _shares(self, subtask: Subtask) -> bool:
        """Returns whether the worker sees this machine's memory, and it is worth it."""
        address = subtask.address
        if subtask.coded.nbytes + subtask.result_nbytes < _SHARED_FROM:
            return False
        if address not in self._shares_memory:
            self._shares_memory[address] = await self._can_attach(address)
        return self._shares_memory[address]

    def _in_shared_memory(self, coded: np.ndarray) -> np.ndarray:
        if self._memory.find(coded) is not None:
            return coded
        shared = self._memory.lend(coded.nbytes)
        shared[:] = coded.reshape(-1).view(np.uint8)
        return shared

    async def _can_attach(self, address: str) -> bool:
        if address.startswith("inproc://") or not on_this_machine(address):
            return False
        try:
            probe = self._memory.take(1, address)
        except OSError:
            return False
        probe.memory[:8] = b"fcdcc is"
        seen = await self.requests.ask(
            address, ATTACH, name=probe.name, size=probe.size
        )
        same = bool(seen and probe.memory[:8] == b"here too")
        self._memory.give_back(probe)
        return same

    def _shrink_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(UNUSED_FOR, self._shrink)

    def _shrink(self) -> None:
        self._timer = None
        if self._memory.shrink():
            self._shrink_later()

    def _connection(self, address: str) -> Connection:
        if address not in self._connections:
            self._connections[address] = Connection(
                address, connection_args(self._client)
            )
        return self._connections[address]

    def _read(
        self, answer: dict[str, Any], segment: Segment | None, nbytes: int
    ) -> Reply:
        """Returns the reply that a worker sent as plain data and bytes.

        Raises:
            ValueError: It is none, or its result has not as many bytes as it must.
        """
        find = None if segment is None else partial(self._memory.array, segment)
        reply = Reply.from_wire(
            answer["about"], nbytes, lambda: bytes_of(answer["data"], nbytes), find
        )
        if segment is not None and not reply.shared:
            self._memory.give_back(segment)
        return reply
