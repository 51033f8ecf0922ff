"""A round of pieces that is told of events, and what it commands."""

from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.messages import (
    Answered,
    Encoded,
    Failed,
    Look,
    Send,
)
from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector


class Told:
    """A round that is told of events, of workers a, b, c ... with a piece each."""

    def __init__(
        self, homes="abc", workers=None, usual=None, spare=0, needs=None, **options
    ):
        self.workers = workers or "".join(sorted(set(homes)))
        self.crew = Crew(self.workers)
        self.now = 0.0
        for worker, seconds in (usual or {}).items():
            self.crew.health[worker].begin("before", -seconds, None)
            self.crew.health[worker].end("before", 0.0, "kind")
        self.pieces = [
            Piece("kind", 1.0, home, frozenset((needs or {}).get(number, ())))
            for number, home in enumerate(homes)
        ]
        self.collector = PieceCollector(self.pieces, self.workers, spare)
        self.lacking = set()
        self.round = PieceRound(
            self.collector,
            self.crew,
            lambda piece, worker: worker not in self.lacking,
            timeout=60.0,
            **options,
        )

    def begin(self):
        *looks, encode = self.round.start(self.now)
        assert all(command == Look() for command in looks)
        return self.tell(Encoded(encode.slots))

    def tell(self, event, now=None):
        self.now = self.now if now is None else now
        return self.round.handle(event, self.now)

    def answer(self, piece, worker, now=None):
        self.now = self.now if now is None else now
        return self.tell(Answered(piece, worker, 8, self.now))

    def fail(self, piece, worker, why="it raised", **more):
        return self.tell(Failed(piece, worker, why, self.now, **more))

    @property
    def redistributed(self):
        """Who was sent which piece in the place of another, as is noted."""
        records = self.collector.records
        return [(r.piece, r.address) for r in records if r.redistributed]


def sends(commands):
    return {(c.slot, c.worker) for c in commands if isinstance(c, Send)}
