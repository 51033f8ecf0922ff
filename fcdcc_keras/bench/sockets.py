"""The floor under every transport: the same bytes over bare asyncio sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

_START_TIMEOUT = 60.0


class SocketPeers:
    """Processes that answer so many bytes with so many; used from one thread."""

    def __init__(self, peers: int, request: int, answer: int) -> None:
        """Starts the processes and connects to them.

        Args:
            peers: How many.
            request: Bytes to send to each.
            answer: Bytes that each sends back.
        """
        # Not zeros, which the kernel would not even read from memory.
        self._requests = [os.urandom(request) for _ in range(peers)]
        self._answers = [bytearray(answer) for _ in range(peers)]
        self._loop = asyncio.new_event_loop()
        self._sockets: list[socket.socket] = []
        self._stack = ExitStack()
        self._stack.callback(self._loop.close)
        command = [sys.executable, "-m", "fcdcc_keras.bench.socket_peer"]
        command += [str(request), str(answer)]
        try:
            processes = [
                self._stack.enter_context(_process(command)) for _ in range(peers)
            ]
            for process in processes:
                assert process.stdout is not None
                port = int(process.stdout.readline())
                link = socket.create_connection(("127.0.0.1", port), _START_TIMEOUT)
                self._stack.callback(link.close)
                link.setblocking(False)
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(link)
        except BaseException:
            self.close()
            raise

    def exchange(self) -> None:
        """Sends all requests at once and returns when all answers are here."""
        self._loop.run_until_complete(self._exchange())

    def close(self) -> None:
        """Closes the connections, upon which the processes end."""
        self._stack.close()

    def __enter__(self) -> SocketPeers:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def _exchange(self) -> None:
        await asyncio.gather(
            *map(self._one, self._sockets, self._requests, self._answers)
        )

    async def _one(
        self, link: socket.socket, request: bytes, answer: bytearray
    ) -> None:
        await self._loop.sock_sendall(link, request)
        await receive(self._loop, link, memoryview(answer))


async def receive(
    loop: asyncio.AbstractEventLoop, link: socket.socket, buffer: memoryview
) -> bool:
    """Fills a buffer from a socket; returns whether it was filled before the end."""
    while len(buffer):
        received = await loop.sock_recv_into(link, buffer)
        if not received:
            return False
        buffer = buffer[received:]
    return True


class _process:
    """A peer that is killed at the end, if it has not ended by itself."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the client.
            start_new_session=True,
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
