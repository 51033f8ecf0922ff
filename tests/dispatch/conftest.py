"""A round on workers that only exist on paper, at times that are set by hand."""

import pytest

from fcdcc_keras.codes import CRME
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.messages import Answered, Encoded, Failed, Look, Send
from fcdcc_keras.dispatch.round import Round

CODE = CRME(4, 4, 6)  # any 4 of 6
WORKERS = "abcdef"
NBYTES = 8


class Paper:
    """A round, and what was commanded so far."""

    def __init__(
        self, code=CODE, *, crew=None, hedged=False, collector=None, timeout=60.0
    ):
        self.crew = crew or Crew(WORKERS[: code.workers])
        self.lacking = set()
        self.round = Round(
            collector or Collector(code, self.crew.roster.addresses),
            self.crew,
            lambda slot, worker: (slot, worker) not in self.lacking,
            kind="layer",
            timeout=timeout,
            hedged=hedged,
        )

    def begin(self, now=0.0):
        """Starts the round and has its first inputs encoded; returns the commands."""
        (encode,) = [c for c in self.round.start(now) if c != Look()]
        return self.round.handle(Encoded(encode.slots), now)

    def encoded(self, *slots, now):
        return self.round.handle(Encoded(slots), now)

    def answer(self, *slots, now, worker=None):
        commands = []
        for slot in slots:
            worker = worker or self.crew.roster.address(slot)
            event = Answered(slot, worker, NBYTES, now)
            commands += self.round.handle(event, now)
            worker = None
        return commands

    def fail(self, slot, *, now, worker=None, **more):
        worker = worker or self.crew.roster.address(slot)
        event = Failed(slot, worker, "it raised", now, **more)
        return self.round.handle(event, now)

    @property
    def outcomes(self):
        return [record.outcome for record in self.round.collector.records]


@pytest.fixture
def paper():
    """Makes rounds."""
    return Paper


@pytest.fixture
def learnt():
    """A crew that has done the layer once, each in a second."""
    crew = Crew(WORKERS)
    for health in crew.health.values():
        health.begin("before", -1.0, None)
        health.end("before", 0.0, "layer")
    return crew


@pytest.fixture
def sends():
    """Says what was sent to whom."""

    def found(commands):
        return [(c.slot, c.worker) for c in commands if isinstance(c, Send)]

    return found
