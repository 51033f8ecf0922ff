"""Coded layers of a simulated pass: micro-batches, and to whom they are sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fcdcc_keras.codes import Code
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.copies import CopyingRound
from fcdcc_keras.dispatch.messages import Freed, SharePlaced
from fcdcc_keras.dispatch.round import PLACING, Round
from fcdcc_keras.dispatch.targets import quick
from fcdcc_keras.planning.layer_time import Load
from fcdcc_keras.planning.objective import TIMEOUT
from fcdcc_keras.simulation.driver import Parcel, Passes, SimulatedCall, Step
from fcdcc_keras.simulation.links import Waiting

Redundancy = Literal["eager", "hedged", "speculative"]


@dataclass(frozen=True)
class Layer(Step):
    """One layer: its micro-batches, and to whom they are sent."""

    path: str
    code: Code
    message: float
    """Seconds of the client for each worker that it sends to."""
    loads: tuple[Load, ...]
    redundancy: Redundancy

    def calls(self, passes: Passes, number: int) -> list[SimulatedCall]:
        """Returns its micro-batches; see ``Step``."""
        # No more than there are lanes for: `micro_batches` sees to that.
        return [LayerCall(passes, number, self, load) for load in self.loads]


class AnyOf(Collector):
    """Is complete with any δ answers, without a look at matrices of thousands."""

    def enough(self, workers: Collection[int]) -> bool:
        """Returns whether there are δ of them."""
        return len(workers) >= self.code.recovery_threshold

    def choose(self, usual: Mapping[int, float]) -> list[int]:
        """Returns the first δ that are not slow."""
        needed = self.code.recovery_threshold
        sound = quick(usual)
        return list(sound if len(sound) >= needed else sorted(usual))[:needed]


class LayerCall(SimulatedCall):
    """One micro-batch of a layer, from its input to its decoding."""

    def __init__(self, passes: Passes, number: int, layer: Layer, load: Load) -> None:
        """Takes what all share, and the number of the layer among the steps."""
        crew = passes.crew
        collector = AnyOf(layer.code, crew.roster.addresses)
        made: Round | CopyingRound
        if layer.redundancy == "speculative":
            made = CopyingRound(collector, crew, timeout=TIMEOUT)
        else:
            made = Round(
                collector,
                crew,
                lambda slot, worker: passes.machines[worker].holds(number, slot),
                kind=(layer.path, load),
                timeout=TIMEOUT,
                hedged=layer.redundancy == "hedged",
            )
        super().__init__(passes, made)
        self.number, self.layer, self.load = number, layer, load
        self.path, self.decode_seconds = layer.path, load.decode

    def parcel(self, slot: int) -> Parcel:
        """Returns what a slot asks for."""
        load = self.load
        return Parcel(load.upload, load.convolution, load.head_start, load.answer)

    def encoding(self, slots: Sequence[int]) -> tuple[float, float]:
        """Returns the client's seconds for some inputs, and for sending them."""
        return self.load.encode_seconds(len(slots)), self.layer.message * len(slots)

    def missing(self) -> str:
        """Returns what is needed, where it is not there."""
        needed = self.layer.code.recovery_threshold
        return f"Layer {self.path!r} needs the results of {needed} workers."

    def place(self, slot: int, worker: str) -> Waiting:
        """Gives a worker another's kernel share."""
        passes, load, machine = self.passes, self.load, self._machine(worker)
        env, health, key = passes.env, passes.crew.health[worker], (self, slot)
        health.begin(key, env.now, PLACING)
        yield env.timeout(load.share_encode)
        passes.tally.bytes_placed += load.share
        there = yield from passes.network.up(machine.index, load.share)
        yield env.timeout(there - env.now)
        if machine.dies <= env.now:
            return
        health.end(key, env.now)
        machine.taken_over.add((self.number, slot))
        self.tell(SharePlaced(slot, worker, True))
        passes.tell_all(Freed(worker))
