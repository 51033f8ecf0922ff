"""Passes of a model on a simulated clock: the client, and what it counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.simulation.call import Call
from fcdcc_keras.simulation.cluster import Cluster, Death, Worker
from fcdcc_keras.simulation.links import Network, Waiting
from fcdcc_keras.simulation.load import Load
from fcdcc_keras.simulation.results import LayerTimes, Tally, layer_times
from fcdcc_keras.simulation.speculation import SpeculativeCall

if TYPE_CHECKING:
    import simpy

Policy = Literal["eager", "hedged", "speculative"]


@dataclass(frozen=True)
class Layer:
    """One layer: its micro-batches, and to whom they are sent."""

    loads: tuple[Load, ...]
    redundancy: Policy


class Session:
    """What all layers of all passes share."""

    def __init__(
        self,
        env: simpy.Environment,
        client: simpy.Resource,
        cluster: Cluster,
        network: Network,
        layers: Sequence[Layer],
    ) -> None:
        """Takes the clock, the client's processor, the workers, links and layers."""
        self.env = env
        self.client = client
        self.cluster = cluster
        self.network = network
        self.tally = Tally()
        self.calls: list[Call] = []
        """Those that wait for answers."""
        self.latencies: list[float] = []
        self.times: list[list[LayerTimes]] = []
        self.events = 0
        self._layers = layers

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
            call = self.calls[0]
            raise NotEnoughWorkersError(
                f"Layer {call.load.path!r} needs the results of {call.load.threshold} "
                f"workers. Received: {call.used}; the others are stopped for good. "
                "Let fewer stop, allow more stragglers, or let them die, so that "
                "their shares go to others."
            )

    def spawn(self, process: Waiting) -> simpy.Process:
        """Starts a process."""
        return self.env.process(process)

    def offer(self, worker: Worker) -> None:
        """Tells the layers under way that a worker may be free again."""
        for call in self.calls:
            call.offer(worker)

    def _passes(self, passes: int, between: float, pause: float) -> Waiting:
        for index in range(passes):
            if index and pause:
                yield self.env.timeout(pause)
            began, times = self.env.now, []
            for number, layer in enumerate(self._layers):
                start = self.env.now
                # No more than there are lanes for: `micro_batches` sees to that.
                calls = [self._call(number, layer, load) for load in layer.loads]
                done = yield self.env.all_of([self.spawn(c.run()) for c in calls])
                times.append(layer_times(list(done.values()), self.env.now - start))
            if between:
                yield self.env.timeout(between)
            self.latencies.append(self.env.now - began)
            self.times.append(times)

    def _call(self, number: int, layer: Layer, load: Load) -> Call:
        if layer.redundancy == "speculative":
            return SpeculativeCall(self, number, load)
        return Call(self, number, load, layer.redundancy == "hedged")

    def _die(self, death: Death) -> Waiting:
        yield self.env.timeout(death.at + death.noticed)
        worker = self.cluster.workers[death.worker]
        worker.health.leave()
        for call in list(self.calls):
            call.lost(worker)
