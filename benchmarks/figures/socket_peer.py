"""A process that answers REQUEST bytes with ANSWER bytes, until its client goes.

    python -m benchmarks.figures.socket_peer WAY REQUEST ANSWER

Prints the port on which it waits for its only client.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from benchmarks.figures.sockets import connect_over

_CLIENT_TIMEOUT = 60.0


async def _serve(connected: socket.socket, way: str, request: int, answer: int) -> None:
    link = await connect_over(way, connected, request)
    data = os.urandom(answer)
    while await link.receive():
        await link.send(data)


def main() -> None:
    """Serves one client."""
    way, request, answer = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_CLIENT_TIMEOUT)
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        connected, _ = server.accept()
    with connected:
        asyncio.run(_serve(connected, way, int(request), int(answer)))


if __name__ == "__main__":
    main()
