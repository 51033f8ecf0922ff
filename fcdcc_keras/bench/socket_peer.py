"""A process that answers REQUEST bytes with ANSWER bytes, until its client goes.

    python -m fcdcc_keras.bench.socket_peer REQUEST ANSWER

Prints the port on which it waits for its only client.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from fcdcc_keras.bench.sockets import receive

_CLIENT_TIMEOUT = 60.0


async def _serve(link: socket.socket, request: int, answer: int) -> None:
    loop = asyncio.get_running_loop()
    buffer, data = memoryview(bytearray(request)), os.urandom(answer)
    while await receive(loop, link, buffer):
        await loop.sock_sendall(link, data)


def main() -> None:
    """Serves one client."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_CLIENT_TIMEOUT)
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        link, _ = server.accept()
    with link:
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asyncio.run(_serve(link, *map(int, sys.argv[1:])))


if __name__ == "__main__":
    main()
