"""Passes of a model on a simulated clock: carries out what rounds command.

What is decided is decided in ``dispatch``, as when layers really run; here is only how
long things take.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    Tick,
)
from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.round import Round
from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.simulation.cluster import Death, Machine
from fcdcc_keras.simulation.links import Network, Waiting
from fcdcc_keras.simulation.results import LayerTimes, Tally, layer_times

if TYPE_CHECKING:
    import simpy


class Step(ABC):
    """A part of a pass that ends before the next begins: a layer, chains, or both."""

    @abstractmethod
    def calls(self, passes: Passes, number: int) -> list[SimulatedCall]:
        """Returns what is under way at the same time.

        Args:
            passes: What all share.
            number: Of the step.
        """


@dataclass(frozen=True)
class Parcel:
    """What a slot asks for."""

    upload: int
    """Bytes."""
    seconds: float
    """Of a worker at its usual speed."""
    head_start: float
    """Seconds by which a worker that is free is sooner."""
    answer: int
    """Bytes."""


@dataclass(frozen=True)
class SimulatedAnswer:
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
        steps: Sequence[Step],
    ) -> None:
        """Takes the clock, the client's processor, the workers, links and steps."""
        self.env = env
        self.client = client
        self.network = network
        self.tally = Tally()
        self.calls: list[SimulatedCall] = []
        """Those that wait for answers."""
        self.crew = Crew([str(machine.index) for machine in machines])
        self.machines = {str(machine.index): machine for machine in machines}
        self.latencies: list[float] = []
        self.times: list[list[LayerTimes]] = []
        self.events = 0
        self._steps = steps

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
            for number, step in enumerate(self._steps):
                start = self.env.now
                calls = step.calls(self, number)
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


class SimulatedCall(ABC):
    """A micro-batch of a layer, or chains that follow each other; see ``run``."""

    path: str
    """Of the layer, or the chains."""
    decode_seconds: float
    """Of the client, once all is there."""

    def __init__(self, passes: Passes, made: Round | CopyingRound | PieceRound) -> None:
        """Takes what all share, and what decides."""
        self.passes = passes
        self._round = made
        self._over = passes.env.event()
        self._last: SimulatedAnswer | None = None
        self._wakes_at = math.inf

    @abstractmethod
    def parcel(self, slot: int) -> Parcel:
        """Returns what a slot asks for."""

    @abstractmethod
    def encoding(self, slots: Sequence[int]) -> tuple[float, float]:
        """Returns the client's seconds for some inputs, and for sending them."""

    @abstractmethod
    def missing(self) -> str:
        """Returns what is needed, where it is not there."""

    @abstractmethod
    def place(self, slot: int, worker: str) -> Waiting:
        """Gives a worker what a slot is computed with."""

    def run(self) -> Waiting:
        """Does it, and returns its ``LayerTimes``."""
        env, collector = self.passes.env, self._round.collector
        began = env.now
        with self.passes.client.request() as turn:
            yield turn
            commands = self._round.start(env.now)
            if not any(isinstance(command, Encode) for command in commands):
                commands = self._round.handle(CrewChanged(), env.now)
            targets = next((c.slots for c in commands if isinstance(c, Encode)), ())
            encode, messages = self.encoding(targets)
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
                f"{self.missing()} Received: {len(collector.survivors)}; the others "
                "have died, or are stopped for good. Let fewer die or stop, or allow "
                "more stragglers."
            )
        with self.passes.client.request() as turn:
            yield turn
            yield env.timeout(self.decode_seconds)
        total = env.now - began
        transport = messages + last.there - last.sent + received - last.finished
        convolution = last.finished - last.there
        busy = encode + transport + convolution + self.decode_seconds
        return LayerTimes(
            path=self.path,
            encode=encode,
            transport=transport,
            waiting=max(0.0, total - busy),
            convolution=convolution,
            decode=self.decode_seconds,
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
                self.passes.tally.sent(self.parcel(slot).upload)
                spawn(self._compute(slot, worker))
            case PlaceShare(slot, worker):
                spawn(self.place(slot, worker))
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
        yield self.passes.env.timeout(sum(self.encoding(slots)))
        self.tell(Encoded(slots))

    def _compute(self, slot: int, worker: str) -> Waiting:
        """Follows a subtask to its end, however late."""
        passes, asked, machine = self.passes, self.parcel(slot), self._machine(worker)
        env, sent = passes.env, passes.env.now
        there = yield from passes.network.up(machine.index, asked.upload)
        finished = machine.compute(there, asked.seconds, asked.head_start)
        if math.isinf(finished) and math.isinf(machine.dies):
            passes.tally.late += 1  # for ever
            return
        if machine.dies <= finished:
            passes.tally.lost += 1
            return
        yield env.timeout(finished - env.now)
        yield from passes.network.down(machine.index, asked.answer)
        if machine.dies <= env.now:
            passes.tally.lost += 1
            return
        useful = not self._round.over and self._round.collector.wants(slot)
        if useful:
            self._last = SimulatedAnswer(sent, there, finished)
        passes.tally.came(asked.answer, useful)
        self.tell(Answered(slot, worker, asked.answer, env.now))

    def _find_silent(self, workers: Sequence[str]) -> Waiting:
        yield self.passes.env.timeout(PING_TIMEOUT)
        for worker in workers:
            self.passes.crew.pinged(worker, None)
        self.passes.tell_all(CrewChanged())

    def _machine(self, worker: str) -> Machine:
        return self.passes.machines[worker]
