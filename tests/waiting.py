"""Waiting for what happens elsewhere."""

import asyncio
import socket
import time


def until(condition, seconds=90):
    """Waits until a function gives something true, which it returns."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


async def until_async(condition, seconds=20):
    """Likewise, while the loop goes on."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
    return found


def listens(port):
    """Whether something takes connections at a port of loopback."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
