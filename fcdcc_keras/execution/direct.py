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
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.answers import About
from fcdcc_keras.execution.line import Line
from fcdcc_keras.execution.operation import Convolution
from fcdcc_keras.execution.plain import bytes_of
from fcdcc_keras.execution.shared_memory import SharedMemory
from fcdcc_keras.execution.subtask import Reply, no_reply
from fcdcc_keras.execution.transport import Subtask, Transport, on_this_machine
from fcdcc_keras.execution.worker_side import ATTACH, HANDLER, packed

if TYPE_CHECKING:
    from distributed import Client

    from fcdcc_keras.execution.shared_memory import Segment

_SHARED_FROM = 1 << 16
"""Bytes of input and result from which they are shared with workers of this machine."""


class DirectTransport(Transport):
    """A subtask is one request to its worker."""

    name = "direct"

    def __init__(self, client: Client) -> None:
        """Takes a client whose workers have the handler; see ``worker_side``."""
        super().__init__(client)
        self._lines: dict[str, Line] = {}
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

    def memory(self, nbytes: int) -> np.ndarray | None:
        """Returns memory that workers of this machine see, if there are such."""
        if nbytes < _SHARED_FROM or not any(self._shares_memory.values()):
            return None
        try:
            return self._memory.lend(nbytes)
        except OSError:  # none is left
            return None

    async def ping(self, address: str) -> None:
        """Asks the worker itself."""
        await self.requests.ask(address, "echo", data=1)

    async def close(self) -> None:
        """Closes the connections to the workers."""
        for line in self._lines.values():
            line.close()
        await super().close()
        self._memory.close()

    async def _request(self, subtask: Subtask, parameters: dict[str, Any]) -> Reply:
        target, data = None, None
        coded = subtask.coded
        about = {
            "shape": coded.shape,
            "dtype": coded.dtype.str,
            "convolution": parameters,
        }
        try:
            if await self._shares(subtask):
                with suppress(OSError):  # no memory of this kind is left
                    # Kept until the answer: nothing else may be put there before.
                    coded = self._in_shared_memory(coded)
                    target = self._memory.take(subtask.result_nbytes)
            if target is None:
                data = packed(coded)
            else:
                about["input"] = self._memory.find(coded)
                about["output"] = [target.name, target.size]
            answer = await self._line(subtask.address).ask(
                HANDLER,
                share=subtask.share.key,
                about=json.dumps(about),
                data=data,
            )
            return self._read(answer, target, subtask.result_nbytes)
        except BaseException as error:
            if target is not None:
                target.forget()  # the worker may be writing to it yet
            if not isinstance(error, Exception):
                raise
            # Whatever it was, there is no result.
            return no_reply(f"the worker gave no result: {error!r}")

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
            probe = self._memory.take(1)
        except OSError:
            return False
        probe.memory[:8] = b"fcdcc is"
        seen = await self.requests.ask(
            address, ATTACH, name=probe.name, size=probe.size
        )
        same = bool(seen and probe.memory[:8] == b"here too")
        self._memory.give_back(probe)
        return same

    def _line(self, address: str) -> Line:
        if address not in self._lines:
            arguments = self._client.security.get_connection_args("client")
            self._lines[address] = Line(address, arguments)
        return self._lines[address]

    def _read(
        self, answer: dict[str, Any], segment: Segment | None, nbytes: int
    ) -> Reply:
        """Returns the reply that a worker sent as plain data and bytes.

        Raises:
            ValueError: It is none, or its result has not as many bytes as it must.
        """
        said, array = About.read(answer["about"]), None
        said.check(nbytes)
        if said.shared and segment is not None:
            array = self._memory.array(segment, said.shape, said.dtype)
        else:
            if said.error is None:
                data = bytes_of(answer["data"], nbytes)
                array = np.frombuffer(data, said.dtype)
                array = array.reshape(said.shape)
            if segment is not None:
                self._memory.give_back(segment)
        return said.reply(array)
