"""Questions to a Dask server, each on a connection of its own and with a deadline.

A server that is stopped takes connections and never answers; so no question may keep
another from being asked. Answers are not unpickled; see ``wire.requests``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from fcdcc_keras.dask_internals import by_value
from fcdcc_keras.doctor.findings import MeasuredWay
from fcdcc_keras.wire.requests import bytes_of

T = TypeVar("T")

_TEXT = 1 << 20
"""Bytes that an answer of ours may have."""
_TRIPS = 4
"""Round trips, of which the shortest counts."""
_SMALLEST, _LARGEST = 1 << 16, 1 << 23
"""Bytes that a way's throughput is measured with."""
_LONG = 0.1
"""Seconds that a transfer is to take, for its throughput to count."""


class Asking:
    """Asks at one address, with the certificates that Dask connects with."""

    def __init__(self, address: str, arguments: Mapping[str, Any]) -> None:
        """Takes where, and what ``Security.get_connection_args`` gives."""
        self.address = address
        self._arguments = arguments

    async def ask(self, op: str, **message: Any) -> Any:
        """Returns what a handler answers; may never."""
        async with self.open() as comm:
            return await _asked(comm, op, **message)

    async def run(self, function: Callable[..., Any], op: str = "run") -> str:
        """Returns the text that a function gives there as bytes.

        Args:
            function: The function.
            op: "run" of a worker, "run_function" of a scheduler.

        Raises:
            RuntimeError: It raised something else.
        """
        return _text(await self.ask(op, function=by_value(function), wait=True))

    async def relay(self, address: str, op: str, **message: Any) -> Any:
        """Has a scheduler ask one of its workers, and returns what that answers.

        Raises:
            OSError: The scheduler does not reach it.
        """
        answers = await self.ask(
            "broadcast", msg={"op": op, **message}, workers=[address], on_error="ignore"
        )
        if address not in answers:
            raise OSError(f"the scheduler does not reach {address}")
        return answers[address]

    async def relay_run(self, function: Callable[..., Any], address: str) -> str:
        """As ``run``, on a worker, by way of its scheduler."""
        message = {"function": by_value(function), "wait": True}
        return _text(await self.relay(address, "run", **message))

    async def measure(self, patience: float) -> MeasuredWay:
        """Returns how long a question takes, and how many bytes go by in a second.

        Args:
            patience: Seconds for each time that some are sent.
        """
        async with self.open() as comm:
            trips = []
            for _ in range(_TRIPS):
                trips.append(await _echo(comm, b""))
            trip = min(trips)
            return MeasuredWay(trip, await _rate(comm, trip, patience))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        """Connects, as Dask does."""
        from distributed.comm import connect  # type: ignore[attr-defined]

        comm = await connect(self.address, deserialize=False, **self._arguments)
        try:
            yield comm
        finally:
            comm.abort()


async def all_at_once(asking: Sequence[Asking], nbytes: int) -> float:
    """Returns the seconds until all have sent some bytes back, at best."""
    async with AsyncExitStack() as stack:
        comms = [await stack.enter_async_context(one.open()) for one in asking]
        rounds = []
        for _ in range(_TRIPS):
            data, began = os.urandom(nbytes), time.perf_counter()
            await asyncio.gather(*(_echo(comm, data) for comm in comms))
            rounds.append(time.perf_counter() - began)
        return min(rounds)


async def _rate(comm: Any, trip: float, patience: float) -> float | None:
    """Returns bytes per second, by what took long and yet not too long."""
    rate, nbytes = None, _SMALLEST
    while nbytes <= _LARGEST:
        # Dask may compress what can be.
        took = await within(patience, _echo(comm, os.urandom(nbytes)))
        if took is None:
            break
        rate = 2 * nbytes / max(took - trip, 1e-9)
        if took >= _LONG:
            break
        nbytes *= 4
    return rate


async def _echo(comm: Any, data: bytes) -> float:
    began = time.perf_counter()
    await _asked(comm, "echo", data=data)
    return time.perf_counter() - began


async def _asked(comm: Any, op: str, **message: Any) -> Any:
    await comm.write({"op": op, **message})
    return await comm.read()


def _text(answer: Mapping[str, Any]) -> str:
    if answer["status"] != "OK":
        raise RuntimeError(str(answer.get("exception_text", answer["status"])))
    return bytes(bytes_of(answer["result"], _TEXT)).decode(errors="replace")


async def within(seconds: float, asking: Awaitable[T]) -> T | None:
    """Returns an answer; None where there is none in time, or none at all."""
    try:
        return await asyncio.wait_for(asking, seconds)
    except Exception:  # whatever it is: no answer
        return None
