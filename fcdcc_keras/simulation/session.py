"""Passes of a model on a simulated clock: the client, and what it counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.simulation.call import Call
from fcdcc_keras.simulation.cluster import Cluster, Death, Worker
from fcdcc_keras.simulation.links import Network, Waiting
from fcdcc_keras.simulation.load import Load
from fcdcc_keras.simulation.results import LayerTimes, Tally
from fcdcc_keras.simulation.speculation import SpeculativeCall

if TYPE_CHECKING:
    import simpy


class Session:
    """What all layers of all passes share."""

    def __init__(
        self,
        env: simpy.Environment,
        cluster: Cluster,
        network: Network,
        loads: Sequence[Load],
        redundancy: str,
    ) -> None:
        self.env = env
        self.cluster = cluster
        self.network = network
        self.loads = loads
        self.tally = Tally()
        self.call: Call | None = None
        """The layer under way."""
        self.latencies: list[float] = []
        self.times: list[list[LayerTimes]] = []
        self.events = 0
        self._redundancy = redundancy

    def run(
        self, passes: int, between: float, pause: float, deaths: Sequence[Death]
    ) -> None:
        """Makes passes, and sees what is late to its end.

        Args:
            passes: How many.
            between: Seconds of each that the client spends beside coded layers.
            pause: Seconds between passes.
            deaths: Who dies when.

        Raises:
            NotEnoughWorkersError: Too few workers are left for a layer.
        """
        for death in deaths:
            self.spawn(self._die(death))
        self.spawn(self._passes(passes, between, pause))
        # Stepping counts the events, which `env.run()` does not.
        while not math.isinf(self.env.peek()):
            self.env.step()
            self.events += 1
        if len(self.latencies) < passes:
            assert self.call is not None
            raise NotEnoughWorkersError(
                f"Layer {self.call.load.path!r} needs the results of "
                f"{self.call.load.threshold} workers. Received: {self.call.used}; "
                "the others are stopped for good. Let fewer stop, allow more "
                "stragglers, or let them die where shares shall go to others."
            )

    def spawn(self, process: Waiting) -> None:
        """Starts a process."""
        self.env.process(process)

    def offer(self, worker: Worker) -> None:
        """Tells the layer under way that a worker may be free again."""
        if self.call is not None:
            self.call.offer(worker)

    def _passes(self, passes: int, between: float, pause: float) -> Waiting:
        for index in range(passes):
            if index and pause:
                yield self.env.timeout(pause)
            began, times = self.env.now, []
            for layer in range(len(self.loads)):
                self.call = self._call(layer)
                times.append((yield from self.call.run()))
            if between:
                yield self.env.timeout(between)
            self.latencies.append(self.env.now - began)
            self.times.append(times)

    def _call(self, layer: int) -> Call:
        if self._redundancy == "speculative":
            return SpeculativeCall(self, layer, False)
        return Call(self, layer, self._redundancy == "hedged")

    def _die(self, death: Death) -> Waiting:
        yield self.env.timeout(death.at + death.noticed)
        worker = self.cluster.workers[death.worker]
        worker.health.seen(False)
        if self.call is not None:
            self.call.lost(worker)
