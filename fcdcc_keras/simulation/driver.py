"""Passes of a model on a simulated clock: carries out what rounds command.

What is decided is decided in ``dispatch``, as when layers really run; here is only how
long things take.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fcdcc_keras.codes import Code
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.copies import CopyingRound
from fcdcc_keras.dispatch.crew import PING_TIMEOUT, Crew
from fcdcc_keras.dispatch.messages import (
    Answered,
    Command,
    CrewChanged,
    Encode,
    Encoded,
    Event,
    Finish,
    Free,
    Freed,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
    Tick,
)
from fcdcc_keras.dispatch.round import PLACING, Round
from fcdcc_keras.dispatch.targets import quick
from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.planning.layer_time import Load
from fcdcc_keras.planning.objective import TIMEOUT
from fcdcc_keras.simulation.cluster import Death, Machine
from fcdcc_keras.simulation.links import Network, Waiting
from fcdcc_keras.simulation.results import LayerTimes, Tally, layer_times

if TYPE_CHECKING:
    import simpy

Redundancy = Literal["eager", "hedged", "speculative"]


@dataclass(frozen=True)
class Layer:
    """One layer: its micro-batches, and to whom they are sent."""

    path: str
    code: Code
    message: float
    """Seconds of the client for each worker that it sends to."""
    loads: tuple[Load, ...]
    redundancy: Redundancy


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


@dataclass(frozen=True)
class Answer:
    """When a result was on its way, in seconds."""

    sent: float
    there: float
    """When the worker had the input."""
    finished: float


class Passes:
    """What all layers of all passes share: the clock, the client, workers, links."""

    def __init__(
        self,
        env: simpy.Environment,
        client: simpy.Resource,
        machines: Sequence[Machine],
        network: Network,
        layers: Sequence[Layer],
    ) -> None:
        """Takes the clock, the client's processor, the workers, links and layers."""
        self.env = env
        self.client = client
        self.network = network
        self.tally = Tally()
        self.calls: list[LayerCall] = []
        """Those that wait for answers."""
        self.crew = Crew([str(machine.index) for machine in machines])
        self.machines = {str(machine.index): machine for machine in machines}
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

    def spawn(self, process: Waiting) -> simpy.Process:
        """Starts a process."""
        return self.env.process(process)

    def tell_all(self, event: Event) -> None:
        """Tells the layers under way of something."""
        for call in list(self.calls):
            call.tell(event)

    def _passes(self, passes: int, between: float, pause: float) -> Waiting:
        for index in range(passes):
            if index and pause:
                yield self.env.timeout(pause)
            began, times = self.env.now, []
            for number, layer in enumerate(self._layers):
                start = self.env.now
                # No more than there are lanes for: `micro_batches` sees to that.
                calls = [LayerCall(self, number, layer, load) for load in layer.loads]
                done = yield self.env.all_of([self.spawn(c.run()) for c in calls])
                times.append(layer_times(list(done.values()), self.env.now - start))
            if between:
                yield self.env.timeout(between)
            self.latencies.append(self.env.now - began)
            self.times.append(times)

    def _die(self, death: Death) -> Waiting:
        yield self.env.timeout(death.at + death.noticed)
        known = [a for a, h in self.crew.health.items() if not h.lost]
        self.crew.seen(set(known) - {str(death.worker)}, self.env.now)
        self.tell_all(CrewChanged())


@dataclass(eq=False)
class LayerCall:
    """One micro-batch of a layer, from its input to its decoding; see ``run``."""

    passes: Passes
    number: int
    """Of the layer."""
    layer: Layer
    load: Load
    _last: Answer | None = field(default=None, init=False)
    _wakes_at: float = field(default=math.inf, init=False)

    def __post_init__(self) -> None:
        crew, env = self.passes.crew, self.passes.env
        collector = AnyOf(self.layer.code, crew.roster.addresses)
        self._round: Round | CopyingRound
        if self.layer.redundancy == "speculative":
            self._round = CopyingRound(collector, crew, timeout=TIMEOUT)
        else:
            self._round = Round(
                collector,
                crew,
                lambda slot, worker: self._machine(worker).holds(self.number, slot),
                kind=(self.layer.path, self.load),
                timeout=TIMEOUT,
                hedged=self.layer.redundancy == "hedged",
            )
        self._over = env.event()

    def run(self) -> Waiting:
        """Does the micro-batch, and returns its ``LayerTimes``."""
        env, load, collector = self.passes.env, self.load, self._round.collector
        began = env.now
        with self.passes.client.request() as turn:
            yield turn
            commands = self._round.start(env.now)
            if not any(isinstance(command, Encode) for command in commands):
                commands = self._round.handle(CrewChanged(), env.now)
            targets = next((c.slots for c in commands if isinstance(c, Encode)), ())
            encode = load.encode_seconds(len(targets))
            messages = self.layer.message * len(targets)
            yield env.timeout(encode + messages)
        self.passes.calls.append(self)
        for command in commands:
            if not isinstance(command, Encode) or command.slots != targets:
                self._carry_out(command)
        self.tell(Encoded(targets))
        self.tell(CrewChanged())  # as it may have while the inputs were encoded
        yield self._over
        received = env.now
        self.passes.calls.remove(self)
        last = self._last
        if not collector.complete or last is None:
            raise NotEnoughWorkersError(
                f"Layer {self.layer.path!r} needs the results of "
                f"{self.layer.code.recovery_threshold} workers. "
                f"Received: {len(collector.survivors)}; the others have died, or are "
                "stopped for good. Let fewer die or stop, or allow more stragglers."
            )
        with self.passes.client.request() as turn:
            yield turn
            yield env.timeout(load.decode)
        total = env.now - began
        transport = messages + last.there - last.sent + received - last.finished
        convolution = last.finished - last.there
        busy = encode + transport + convolution + load.decode
        return LayerTimes(
            path=self.layer.path,
            encode=encode,
            transport=transport,
            waiting=max(0.0, total - busy),
            convolution=convolution,
            decode=load.decode,
            total=total,
        )

    def tell(self, event: Event) -> None:
        """Tells the round what happened, and does what it says."""
        for command in self._round.handle(event, self.passes.env.now):
            self._carry_out(command)
        self._wind()

    def _carry_out(self, command: Command) -> None:
        spawn = self.passes.spawn
        match command:
            case Encode(slots):
                spawn(self._encode(slots))
            case Send(slot, worker):
                self.passes.tally.sent(self.load.upload)
                spawn(self._compute(slot, worker))
            case PlaceShare(slot, worker):
                spawn(self._place(slot, worker))
            case Look(workers):
                # Deaths are told when they are noticed.
                now = self.passes.env.now
                silent = [w for w in workers if not self._machine(w).answers(now)]
                if silent:
                    spawn(self._find_silent(silent))
            case Free(worker):
                self.passes.tell_all(Freed(worker))
            case Finish():
                self._over.succeed()

    def _wind(self) -> None:
        """Has the round be told of the time when it wants to be."""
        at = self._round.wake_at()
        if at < self._wakes_at and not self._round.over:
            self._wakes_at = at
            wait = self.passes.env.timeout(max(0.0, at - self.passes.env.now), at)
            wait.callbacks.append(self._wake)

    def _wake(self, event: simpy.Event) -> None:
        # One that was to wake sooner may have come.
        if event.value == self._wakes_at and not self._round.over:
            self._wakes_at = math.inf
            self.tell(Tick())

    def _encode(self, slots: tuple[int, ...]) -> Waiting:
        load = self.load
        seconds = load.encode_seconds(len(slots)) + self.layer.message * len(slots)
        yield self.passes.env.timeout(seconds)
        self.tell(Encoded(slots))

    def _compute(self, slot: int, worker: str) -> Waiting:
        """Follows a subtask to its end, however late."""
        passes, load, machine = self.passes, self.load, self._machine(worker)
        env, sent = passes.env, passes.env.now
        there = yield from passes.network.up(machine.index, load.upload)
        finished = machine.compute(there, load.convolution, load.head_start)
        if math.isinf(finished) and math.isinf(machine.dies):
            passes.tally.late += 1  # for ever
            return
        if machine.dies <= finished:
            passes.tally.lost += 1
            return
        yield env.timeout(finished - env.now)
        yield from passes.network.down(machine.index, load.answer)
        if machine.dies <= env.now:
            passes.tally.lost += 1
            return
        record = self._round.collector.records[slot]
        useful = not self._round.over and record.outcome == "late"
        if useful:
            self._last = Answer(sent, there, finished)
        passes.tally.came(load.answer, useful)
        self.tell(Answered(slot, worker, load.answer, env.now))

    def _place(self, slot: int, worker: str) -> Waiting:
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

    def _find_silent(self, workers: Sequence[str]) -> Waiting:
        yield self.passes.env.timeout(PING_TIMEOUT)
        for worker in workers:
            self.passes.crew.pinged(worker, None)
        self.passes.tell_all(CrewChanged())

    def _machine(self, worker: str) -> Machine:
        return self.passes.machines[worker]
