"""Halos from worker to worker, while a worker computes one chain after another.

The client sends a worker its tile of the first chain and takes that of the last one.
In between nothing crosses the client's link. What does not come in time is not waited
for, nor is anything once an exchange is over: the client is told, who has the tiles
computed chain by chain then.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fcdcc_keras.worker.attachments import UNUSED_FOR
from fcdcc_keras.worker.connection import Connection, packed
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.stages import ExchangeStage, part
from fcdcc_keras.worker.tensors import aligned_empty
from fcdcc_keras.worker.weights import Weights

HALO = "fcdcc_halo"
OVER = "fcdcc_exchange_over"
"""Names of the handlers among the worker's own."""
WAITED = "it waited for what another worker was to give it"
"""What the error of a worker begins with that lacks a halo."""
UNREACHED = "it did not reach a worker that it was to give something"
"""What the error of one begins with whose own halo did not go out."""
REACHED_WITHIN = 5.0
"""Seconds within which even a busy worker lets another connect."""
KEPT_FOR = 30.0
"""Seconds for which it is known what came of an exchange before and after its turn."""
Read = tuple[Callable[[], np.ndarray], Sequence[int], str]
"""What gives a program's input, its shape, and the program's text."""
Compute = Callable[..., Awaitable[Reply]]
"""Runs a program with weights: ``(weights, *read)``."""


@dataclass(frozen=True)
class Turn:
    """A worker's part in one exchange."""

    name: str
    """Of the exchange; no other has it."""
    tile: int
    """Number of its tile."""
    patience: float
    """Seconds from now until which it waits for halos, in all."""


class _Coming:
    """Of one exchange what has come, or is waited for."""

    def __init__(self) -> None:
        self.over = ""
        """Why nothing more is waited for; empty: it may come."""
        self.until = math.inf
        """When it is given up, by the loop's clock."""
        self.nbytes = 0
        """Of what has come."""
        self._halos: dict[tuple[int, int], asyncio.Future[Any]] = {}
        """By the number of the chain and of the tile that they are of."""

    def halo(self, chain: int, tile: int) -> asyncio.Future[Any]:
        """Returns what ends with a halo's bytes; cancelled, when it is over."""
        if (chain, tile) not in self._halos:
            self._halos[chain, tile] = asyncio.get_running_loop().create_future()
        return self._halos[chain, tile]

    def take(self, chain: int, tile: int, data: Any) -> None:
        """Takes a halo's bytes, unless it is over."""
        if not self.over and not (halo := self.halo(chain, tile)).done():
            halo.set_result(data)
            self.nbytes += memoryview(data).nbytes

    def end(self, why: str) -> None:
        """Has nothing more be waited for, and lets go of what has come."""
        self.over = self.over or why
        for halo in self._halos.values():
            halo.cancel()
        self._halos.clear()


class Exchange:
    """A worker's halos, to be given and taken. Runs on its loop."""

    def __init__(self, connection_args: dict[str, Any]) -> None:
        """Takes the security that this worker connects with."""
        self._connection_args = connection_args
        self._connections: dict[str, Connection] = {}
        self._unreached: set[str] = set()
        """Workers that nothing could be given to when it was tried last."""
        self._coming: dict[str, _Coming] = {}
        """By the exchange's name."""
        self._under_way: set[str] = set()
        self._giving: set[asyncio.Task[None]] = set()
        self._used: dict[str, float] = {}
        """When something was given to each worker last."""
        self._timer: asyncio.TimerHandle | None = None

    def take(self, name: str, chain: int, tile: int, data: Any) -> None:
        """Takes a halo.

        Args:
            name: Of the exchange, whose turn may not have come yet.
            chain: Number of the chain that it is of.
            tile: Number of the tile that it is of.
            data: Its bytes.
        """
        self._of(name).take(chain, tile, data)

    def end(self, name: str) -> None:
        """Has an exchange be given up: another worker did not do its part."""
        self._of(name).end(f"{WAITED}: in vain")

    async def close(self) -> None:
        """Gives all exchanges up, as the worker closes."""
        for coming in self._coming.values():
            coming.end("the worker closes")
        for giving in self._giving:
            giving.cancel()
        for address in list(self._connections):
            self._drop(address)
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._giving, return_exceptions=True)

    async def run(
        self,
        turn: Turn,
        weights: Sequence[Weights],
        first: Read,
        stages: Sequence[ExchangeStage],
        compute: Compute,
    ) -> Reply:
        """Computes a tile of each of several chains, and returns the last one's.

        Args:
            turn: The worker's part in it.
            weights: Of each chain.
            first: Of the first chain.
            stages: What follows each chain but the last.
            compute: Computes a tile.
        """
        loop, coming = asyncio.get_running_loop(), self._of(turn.name)
        coming.until, reply = loop.time() + turn.patience, Reply()
        self._under_way.add(turn.name)
        try:
            reply = await self._run(turn, coming, weights, first, stages, compute)
            return reply
        finally:
            self._under_way.discard(turn.name)
            coming.end("its turn is over")
            loop.call_later(KEPT_FOR, self._forget, turn.name)
            if reply.array is None:
                # Nothing is to stay on its way to one that is stopped, and a line that
                # is silently broken is to be opened anew.
                for address in {a for stage in stages for a, _ in stage.gives}:
                    line = self._connections.get(address)
                    if line is not None and line.is_open:
                        self._drop(address)

    async def _run(
        self,
        turn: Turn,
        coming: _Coming,
        weights: Sequence[Weights],
        first: Read,
        stages: Sequence[ExchangeStage],
        compute: Compute,
    ) -> Reply:
        if coming.over:  # before it began
            now = time.time()
            return Reply(error=coming.over, started=now, finished=now)
        loop, waited = asyncio.get_running_loop(), 0.0
        reply = await compute(weights[0], *first)
        started, received = reply.started, reply.received
        done = int(reply.array is not None)
        for chain, (stage, held) in enumerate(zip(stages, weights[1:], strict=True)):
            if reply.array is None:
                break
            began = loop.time()
            inputs = await self._next(turn, coming, chain, stage, reply.array)
            waited += loop.time() - began
            if isinstance(inputs, str):
                reply = Reply(error=inputs, finished=time.time())
                break
            read = partial(_given, inputs), stage.shape, stage.program
            reply = await compute(held, *read)
            done += reply.array is not None
        received += coming.nbytes
        return replace(
            reply, started=started, received=received, waited=waited, chains=done
        )

    async def _next(
        self,
        turn: Turn,
        coming: _Coming,
        chain: int,
        stage: ExchangeStage,
        result: np.ndarray,
    ) -> np.ndarray | str:
        """Exchanges halos; returns what the next tile reads, or why that is not there.

        Args:
            turn: The worker's part.
            coming: What has come of it.
            chain: Number of the chain that was computed.
            stage: What follows.
            result: What the worker's tile of that chain is.
        """
        for address, box in stage.gives:
            halo = np.ascontiguousarray(result[part(box)])
            self._give(address, turn, coming, chain, halo)
        # What is given must be on its way before anything else is computed here.
        await asyncio.sleep(0)
        if not stage.takes and stage.shape == result.shape:
            return coming.over or result  # of whole images it is all its own
        inputs = aligned_empty(stage.shape, result.dtype)
        if not stage.takes:  # what others would give is missing in a rehearsal
            inputs[...] = 0
        for source, target in stage.own:
            inputs[part(target)] = result[part(source)]
        awaited = [] if coming.over else [coming.halo(chain, t) for t, _ in stage.takes]
        if awaited:
            left = coming.until - asyncio.get_running_loop().time()
            await asyncio.wait(awaited, timeout=max(0.0, left))
        if coming.over:
            return coming.over
        for halo_, (tile, box) in zip(awaited, stage.takes, strict=True):
            if not halo_.done():
                return f"{WAITED}: tile {tile}"
            there, data = inputs[part(box)], memoryview(halo_.result())
            if data.nbytes != there.nbytes:
                wrong = f"{data.nbytes} bytes in place of {there.nbytes}"
                return f"{WAITED}: tile {tile}, whose worker gave {wrong}"
            there[...] = np.frombuffer(data, result.dtype).reshape(there.shape)
        return inputs

    def _give(
        self, address: str, turn: Turn, coming: _Coming, chain: int, halo: np.ndarray
    ) -> None:
        if address in self._unreached:  # it is tried all the same, for the next time
            coming.end(f"{UNREACHED}: {address}")
        about = {"name": turn.name, "chain": chain, "tile": turn.tile}
        giving = asyncio.ensure_future(
            self._send(address, coming, data=packed(halo), **about)
        )
        self._giving.add(giving)
        giving.add_done_callback(self._giving.discard)

    async def _send(self, address: str, coming: _Coming, **message: Any) -> None:
        if address not in self._connections:
            self._connections[address] = Connection(address, self._connection_args)
        connection = self._connections[address]
        self._used[address] = time.monotonic()
        if self._timer is None:
            self._close_later()
        try:
            await asyncio.wait_for(connection.tell(HALO, **message), REACHED_WITHIN)
        except Exception:  # whatever it was, it may not have gone out
            if self._connections.get(address) is connection:  # or it was closed
                self._drop(address)
                self._unreached.add(address)
                coming.end(f"{UNREACHED}: {address}")
        else:
            self._unreached.discard(address)

    def _of(self, name: str) -> _Coming:
        if name not in self._coming:
            self._coming[name] = _Coming()
            loop = asyncio.get_running_loop()
            loop.call_later(KEPT_FOR, self._forget, name)
        return self._coming[name]

    def _forget(self, name: str) -> None:
        if name not in self._under_way:
            self._coming.pop(name, None)

    def _drop(self, address: str) -> None:
        if address in self._connections:
            self._connections.pop(address).close()

    def _close_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(UNUSED_FOR, self._close_unused)

    def _close_unused(self) -> None:
        """Closes the connections to workers that nothing is given to any more."""
        self._timer, now = None, time.monotonic()
        for address, used in list(self._used.items()):
            if now - used >= UNUSED_FOR:
                del self._used[address]
                self._unreached.discard(address)
                self._drop(address)
        if self._used:
            self._close_later()


def _given(inputs: np.ndarray) -> np.ndarray:
    return inputs
