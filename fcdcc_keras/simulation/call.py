"""One micro-batch of a layer: who is sent to, who stands in, which answers suffice.

The rules are those of ``execution.call``: a worker that owes what nobody waits for any
more gets no new input until it is done, missing parts go to others where the rest does
not suffice, and hedging sends to the rest when one is late by its usual time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from statistics import median
from typing import TYPE_CHECKING

from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.simulation.cluster import Worker
from fcdcc_keras.simulation.links import Waiting
from fcdcc_keras.simulation.load import Load
from fcdcc_keras.simulation.results import LayerTimes

if TYPE_CHECKING:
    from fcdcc_keras.simulation.session import Session

SLOW = 2.0
"""A worker that takes this many times as long as the median is not chosen first, where
not all are sent to; as in ``execution.targets``."""
MOST_TRIES = 3
"""Workers that a part is tried on, as in ``execution.substitution``."""
RECHECK = 0.01
"""Least seconds between looks at whether somebody is late, as in ``execution.call``."""
PLACING = 5.0
"""Seconds after which a worker that takes a share is late, as in ``execution.dask``."""


class Fate(Enum):
    """What became of a slot."""

    UNSENT = auto()
    SENT = auto()
    USED = auto()
    FAILED = auto()


@dataclass(eq=False)
class Subtask:
    """A slot's part on its way to a worker and back. Times in seconds."""

    slot: int
    worker: Worker
    sent: float
    there: float = field(default=math.nan)
    finished: float = field(default=math.nan)


class Call:
    """One micro-batch, from its input to its decoding; see ``run``."""

    def __init__(
        self, session: Session, layer: int, load: Load, hedged: bool = False
    ) -> None:
        """Takes the session, the layer's index, what it asks for, and the policy."""
        self.layer = layer
        self.load = load
        self._session, self._env = session, session.env
        self._cluster = session.cluster
        self._over = session.env.event()
        self._fates = [Fate.UNSENT] * len(session.cluster)
        self.used = 0
        """Answers so far that are decoded."""
        self._unfinished: set[Subtask] = set()
        self._hedged = hedged
        self._hedging = False
        self._tried: dict[int, set[int]] = {}
        self._last: Subtask | None = None

    @property
    def over(self) -> bool:
        """Whether the answers suffice."""
        return bool(self._over.triggered)

    def run(self) -> Waiting:
        """Does the micro-batch, and returns its ``LayerTimes``."""
        began = self._env.now
        with self._session.client.request() as turn:
            yield turn
            self._fail_slots_of_lost()
            targets = self._choose()
            encode = self.load.encode_seconds(len(targets))
            messages = self.load.message * len(targets)
            yield self._env.timeout(encode + messages)
        self._session.calls.append(self)
        self._start(targets)
        yield self._over
        received = self._env.now
        self._session.calls.remove(self)
        for task in self._unfinished:
            task.worker.health.overtake(task)
        with self._session.client.request() as turn:
            yield turn
            yield self._env.timeout(self.load.decode)
        last = self._last
        assert last is not None
        total = self._env.now - began
        transport = messages + last.there - last.sent + received - last.finished
        convolution = last.finished - last.there
        busy = encode + transport + convolution + self.load.decode
        return LayerTimes(
            path=self.load.path,
            encode=encode,
            transport=transport,
            waiting=max(0.0, total - busy),
            convolution=convolution,
            decode=self.load.decode,
            total=total,
        )

    def offer(self, worker: Worker) -> None:
        """Gives a worker that is free again the parts that it was not sent."""
        if self.over or self._hedging:
            return
        for slot in worker.slots:
            if self._fates[slot] is Fate.UNSENT:
                self._session.spawn(self._encode_and_send(slot))

    def lost(self, worker: Worker) -> None:
        """Takes into account that a worker is known to be dead."""
        if self.over:
            return
        for slot in worker.slots:
            self._fail(slot)
        self._hedge()
        self._replace_missing()

    def _choose(self) -> list[int]:
        """Returns the slots to send to at once."""
        now, needed = self._env.now, self.load.threshold
        slots = range(len(self._cluster))
        free = [s for s in slots if self._cluster.of(s).health.accepts(now)]
        if len(free) < needed:
            return [s for s in slots if not self._cluster.of(s).health.lost]
        if not self._hedged:
            return free
        paces = {s: self._cluster.of(s).health.pace(self.load, now) for s in free}
        known = {s: pace.mean for s, pace in paces.items() if pace is not None}
        if len(known) < needed:
            return free
        self._hedging = True
        middle = median(known.values())
        quick = [s for s, mean in known.items() if mean <= SLOW * middle]
        return (quick if len(quick) >= needed else list(known))[:needed]

    def _start(self, targets: Sequence[int]) -> None:
        for slot in targets:
            if self._fates[slot] is not Fate.FAILED:
                self._send(slot)
        self._replace_missing()
        if self._hedging:
            self._session.spawn(self._watch())

    def _send(self, slot: int) -> None:
        """Sends a slot's part to its worker, if that takes new work."""
        worker = self._cluster.of(slot)
        health = worker.health
        if not worker.holds(self.layer, slot):
            # With its share on the way it is offered the layer when that is there.
            if not health.owes and not health.absent:
                self._fates[slot] = Fate.SENT
                self._session.spawn(self._place_and_send(slot, worker))
        elif health.accepts(self._env.now):
            self._launch(slot, worker)

    def _launch(self, slot: int, worker: Worker) -> None:
        now = self._env.now
        task = Subtask(slot, worker, now)
        pace = worker.health.pace(self.load, now)
        worker.health.begin(task, now, None if pace is None else pace.late_after)
        self._fates[slot] = Fate.SENT
        self._unfinished.add(task)
        self._session.tally.sent(self.load.upload)
        self._session.spawn(self._follow(task))

    def _follow(self, task: Subtask) -> Waiting:
        """Follows a subtask to its end, however late, and frees its worker."""
        env, load, session, worker = self._env, self.load, self._session, task.worker
        there = yield from session.network.up(worker.index, load.upload)
        task.there = there
        task.finished = worker.compute(there, load.convolution, load.head_start)
        if math.isinf(task.finished) and math.isinf(worker.dies):
            session.tally.late += 1  # for ever
            return
        if worker.dies <= task.finished:
            session.tally.lost += 1
            return
        yield env.timeout(task.finished - env.now)
        yield from session.network.down(worker.index, load.answer)
        if worker.dies <= env.now:
            session.tally.lost += 1
            return
        self._unfinished.discard(task)
        worker.health.end(task, env.now, load)
        self._came(task)
        session.offer(worker)

    def _came(self, task: Subtask) -> None:
        useful = not self.over and self._fates[task.slot] is Fate.SENT
        self._session.tally.came(self.load.answer, useful)
        if useful:
            self._fates[task.slot] = Fate.USED
            self.used += 1
            if self.used == self.load.threshold:
                self._last = task
                self._over.succeed()

    def _place_and_send(self, slot: int, worker: Worker) -> Waiting:
        """Gives a worker another's kernel share, then the part to convolve."""
        key = self.layer, slot
        worker.health.begin(key, self._env.now, PLACING)
        yield self._env.timeout(self.load.share_encode)
        self._session.tally.bytes_placed += self.load.share
        there = yield from self._session.network.up(worker.index, self.load.share)
        yield self._env.timeout(there - self._env.now)
        if worker.dies <= self._env.now:
            return
        worker.health.end(key, self._env.now)
        worker.taken_over.add(key)
        if not self.over and self._cluster.of(slot) is worker:
            self._fates[slot] = Fate.UNSENT
            self._send(slot)
        self._session.offer(worker)

    def _encode_and_send(self, slot: int) -> Waiting:
        yield self._env.timeout(self.load.encode_seconds(1) + self.load.message)
        # Meanwhile it may have been sent something else, or be offered this again.
        if self._fates[slot] is Fate.UNSENT and not self.over:
            self._send(slot)

    def _fail_slots_of_lost(self) -> None:
        for slot in range(len(self._cluster)):
            if self._cluster.of(slot).health.lost:
                self._fail(slot)

    def _fail(self, slot: int) -> None:
        if self._fates[slot] is not Fate.USED:
            self._fates[slot] = Fate.FAILED

    def _hopeful(self, slot: int) -> bool:
        fate = self._fates[slot]
        if fate is Fate.USED:
            return True
        return fate is not Fate.FAILED and not self._cluster.of(slot).health.absent

    def _replace_missing(self) -> None:
        """Gives missing slots to sound workers until the others suffice."""
        needed, now = self.load.threshold, self._env.now
        missing = [s for s in range(len(self._fates)) if not self._hopeful(s)]
        hopeful = len(self._fates) - len(missing)
        for slot in missing:
            if hopeful >= needed:
                break
            tried = self._tried.setdefault(slot, {self._cluster.of(slot).index})
            if len(tried) >= MOST_TRIES:
                continue
            worker = self._cluster.move(slot, tried, now)
            if worker is not None:
                tried.add(worker.index)
                hopeful += 1
                self._fates[slot] = Fate.UNSENT
                self._session.spawn(self._encode_and_send(slot))
        if len(self._fates) - self._fates.count(Fate.FAILED) < needed:
            raise NotEnoughWorkersError(
                f"Layer {self.load.path!r} needs the results of {needed} workers. "
                f"Received: {self.used}, with all sound ones asked, {now:.3g} s "
                "after the beginning. Let fewer workers die, or allow more stragglers."
            )

    def _hedge(self) -> None:
        """Sends to all that have not been sent to, if that was put off."""
        if self._hedging:
            self._hedging = False
            for slot, fate in enumerate(self._fates):
                if fate is Fate.UNSENT:
                    self._session.spawn(self._encode_and_send(slot))

    def _watch(self) -> Waiting:
        """Hedges when the first of those sent to is late."""
        while self._hedging and not self.over:
            times = (task.worker.health.deadline(task) for task in self._unfinished)
            late = min((t for t in times if t is not None), default=self._env.now)
            if late <= self._env.now:
                self._hedge()
            else:
                yield self._env.timeout(max(late - self._env.now, RECHECK))
