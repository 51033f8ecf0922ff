"""Links: the client's, which all workers share, and each worker's own."""

from __future__ import annotations

import math
from collections.abc import Generator
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import simpy

Waiting = Generator["simpy.Event", Any, Any]
"""What a SimPy process does: it yields what it waits for."""


class SharedLink:
    """One way of a link whose transfers share it equally, as TCP's about do.

    All that matters is the *virtual time*, the bytes that each transfer under way has
    got so far since the beginning: a transfer ends when that has grown by its size
    (Parekh and Gallager, "A generalized processor sharing approach", 1993). So a
    transfer costs two events, however many others there are.
    """

    def __init__(self, env: simpy.Environment, rate: float) -> None:
        """Takes the clock, and the bytes per second."""
        self._env = env
        self._rate = rate
        self._virtual = 0.0
        self._since = 0.0
        """When the virtual time was last brought up to date."""
        self._order = count()
        self._flows: list[tuple[float, int, simpy.Event]] = []
        """(Virtual time of the end, order, event) of each transfer, as a heap."""
        self._wakes_at = math.inf

    def transfer(self, nbytes: float) -> simpy.Event:
        """Returns what happens when that many bytes are through."""
        done = self._env.event()
        if math.isinf(self._rate) or nbytes == 0:
            return done.succeed()
        self._advance()
        heappush(self._flows, (self._virtual + nbytes, next(self._order), done))
        self._wake_for_first()
        return done

    def _advance(self) -> None:
        now = self._env.now
        if self._flows:
            self._virtual += (now - self._since) * self._rate / len(self._flows)
        self._since = now

    def _wake_for_first(self) -> None:
        if not self._flows:
            return
        left = max(0.0, self._flows[0][0] - self._virtual)
        delay = left * len(self._flows) / self._rate
        # Woken too soon, when others have come meanwhile, it sleeps on.
        if self._env.now + delay < self._wakes_at:
            self._wakes_at = self._env.now + delay
            self._env.timeout(delay, self._wakes_at).callbacks.append(self._woken)

    def _woken(self, event: simpy.Event) -> None:
        if event.value != self._wakes_at:
            return  # one that was to wake sooner has come
        self._wakes_at = math.inf
        self._advance()
        # The clock rounds: what is left may be too little to advance it at all.
        rounding = 4e-16 * self._env.now * self._rate
        end = self._virtual * (1 + 1e-12) + rounding
        while self._flows and self._flows[0][0] <= end:
            heappop(self._flows)[2].succeed()
        self._wake_for_first()


class Network:
    """The ways between the client and its workers.

    A message passes the client's link and then the worker's, or the reverse. Inputs
    leave the client together and share its link; answers are taken in one after
    another, as they come. Both as ``planning.layer_time`` adds them up.
    """

    def __init__(
        self,
        env: simpy.Environment,
        workers: int,
        *,
        bandwidth: float,
        worker_bandwidth: float,
        latency: float,
    ) -> None:
        """Takes the figures of the links; each is as fast up as down.

        Args:
            env: The clock.
            workers: How many.
            bandwidth: Bytes per second of the client's link.
            worker_bandwidth: Bytes per second of each worker's.
            latency: Seconds that a message and its answer take besides.
        """
        self._env = env
        self._to_all = SharedLink(env, bandwidth)
        self._from_all = Line(bandwidth)
        self._to = [Line(worker_bandwidth) for _ in range(workers)]
        self._from = [Line(worker_bandwidth) for _ in range(workers)]
        self._one_way = latency / 2

    def up(self, worker: int, nbytes: float) -> Generator[simpy.Event, Any, float]:
        """Sends to a worker; returns when, not before now, it has it all."""
        yield self._to_all.transfer(nbytes)
        return self._to[worker].through(self._env.now, nbytes) + self._one_way

    def down(self, worker: int, nbytes: float) -> Waiting:
        """Sends to the client, and waits until it has it all."""
        own = self._from[worker].through(self._env.now, nbytes) + self._one_way
        yield self._env.timeout(own - self._env.now)
        there = self._from_all.through(self._env.now, nbytes)
        if there > self._env.now:
            yield self._env.timeout(there - self._env.now)


class Line:
    """One way of a link that carries one message after another."""

    def __init__(self, rate: float) -> None:
        """Takes the bytes per second."""
        self._rate = rate
        self._free = 0.0

    def through(self, now: float, nbytes: float) -> float:
        """Returns when a message is through that is there now."""
        self._free = max(now, self._free) + nbytes / self._rate
        return self._free
