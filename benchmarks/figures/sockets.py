"""The floor under every transport: the same bytes over bare asyncio sockets.

In two ways: by streams (``asyncio.open_connection``), as one would write it, and by the
loop's socket calls into buffers that are made once, below which Python cannot go.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Batching = Literal["streams", "calls"]
_START_TIMEOUT = 60.0


class SocketPeers:
    """Processes that answer so many bytes with so many; used from one thread."""

    def __init__(
        self, peers: int, request: int, answer: int, way: Batching = "streams"
    ) -> None:
        """Starts the processes and connects to them.

        Args:
            peers: How many.
            request: Bytes to send to each.
            answer: Bytes that each sends back.
            way: How both sides send and receive.
        """
        # Not zeros, which the kernel would not even read from memory.
        requests = [os.urandom(request) for _ in range(peers)]
        self._loop = asyncio.new_event_loop()
        self._stack = ExitStack()
        self._stack.callback(self._loop.close)
        command = [sys.executable, "-m", "benchmarks.figures.socket_peer", way]
        command += [str(request), str(answer)]
        self._links: list[tuple[StreamLink | CallLink, bytes]] = []
        try:
            processes = [
                self._stack.enter_context(_Process(command)) for _ in range(peers)
            ]
            for process, data in zip(processes, requests, strict=True):
                connected = socket.create_connection(
                    ("127.0.0.1", process.port()), _START_TIMEOUT
                )
                self._stack.callback(connected.close)
                link = self._run(connect_over(way, connected, answer))
                self._stack.callback(self._close, link)
                self._links.append((link, data))
        except BaseException:
            self.close()
            raise

    def exchange(self) -> None:
        """Sends all requests at once and returns when all answers are here."""
        self._run(self._exchange())

    def close(self) -> None:
        """Closes the connections, upon which the processes end."""
        self._stack.close()

    def __enter__(self) -> SocketPeers:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _close(self, link: StreamLink | CallLink) -> None:
        self._run(link.close())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def _exchange(self) -> None:
        await asyncio.gather(*(self._one(link, data) for link, data in self._links))

    async def _one(self, link: StreamLink | CallLink, data: bytes) -> None:
        await link.send(data)
        await link.receive()


class StreamLink:
    """A connection by asyncio's streams."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int
    ) -> None:
        self._reader, self._writer, self._size = reader, writer, size

    async def send(self, data: bytes) -> None:
        """Sends all of it."""
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bool:
        """Receives one message; returns whether it came before the end."""
        try:
            await self._reader.readexactly(self._size)
        except asyncio.IncompleteReadError:
            return False
        return True

    async def close(self) -> None:
        """Closes the connection at once."""
        self._writer.transport.abort()
        await asyncio.sleep(0)  # the transport closes its socket then


class CallLink:
    """A connection by the loop's socket calls."""

    def __init__(self, connected: socket.socket, size: int) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._buffer = connected, bytearray(size)

    async def send(self, data: bytes) -> None:
        """Sends all of it."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self) -> bool:
        """Receives one message; returns whether it came before the end."""
        loop, left = asyncio.get_running_loop(), memoryview(self._buffer)
        while len(left):
            received = await loop.sock_recv_into(self._socket, left)
            if not received:
                return False
            left = left[received:]
        return True

    async def close(self) -> None:
        """Closes the connection."""
        self._socket.close()


async def connect_over(
    way: str, connected: socket.socket, size: int
) -> StreamLink | CallLink:
    """Returns a connection over a socket.

    Args:
        way: "streams" or "calls".
        connected: The socket.
        size: Bytes of each message that will be received.
    """
    if way == "calls":
        return CallLink(connected, size)
    reader, writer = await asyncio.open_connection(sock=connected)
    return StreamLink(reader, writer, size)


class _Process:
    """A peer that is killed at the end, if it has not ended by itself."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the client.
            start_new_session=True,
        )

    def port(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
