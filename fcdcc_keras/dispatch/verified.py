"""Collecting answers until they are known to agree, and leaving out who lies.

Whether results agree is for others to say (``coding.agreement``): here is what follows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from fcdcc_keras.codes import Code
from fcdcc_keras.codes.parity import redundant
from fcdcc_keras.dispatch.collector import Collector, Verdict
from fcdcc_keras.dispatch.targets import plain_copies

CONTRADICTS = "its result contradicts those of the others"


class VerifiedCollector(Collector):
    """Is complete when answers that would show any one worker's lie agree."""

    spare = 1

    def __init__(
        self, code: Code, addresses: Sequence[str], limit: float = math.inf
    ) -> None:
        """Takes what to decode by; see ``Collector``."""
        super().__init__(code, addresses, limit)
        self._checked: frozenset[int] = frozenset()

    @property
    def hopeless(self) -> bool:
        """Whether even all workers that have not failed would not do."""
        left = [r.worker for r in self.records if r.outcome != "failed"]
        if self.disputed:
            return self._checked.issuperset(left)
        return not self.enough(left)

    def enough(self, workers: Collection[int]) -> bool:
        """Returns whether these workers' results would be verified if they agree.

        After a disagreement: whether they would tell who lies.
        """
        needed = self.spare + self.disputed
        return redundant(self.code, workers, needed) and super().enough(workers)

    def question(self) -> Mapping[str, frozenset[int]] | None:
        """Returns whose answers are to be compared; see ``Collector.question``."""
        answers = self._answers
        ready = redundant(self.code, answers, self.spare) and super().enough(answers)
        if self._complete or self._stopped or not ready:
            return None
        if self._checked == answers.keys():
            return None
        given: defaultdict[str, set[int]] = defaultdict(set)
        for worker, address in answers.items():
            given[address].add(worker)
        return {address: frozenset(workers) for address, workers in given.items()}

    def judged(self, verdict: Verdict) -> tuple[str, ...]:
        """Takes a verdict into account; see ``Collector.judged``."""
        if self._complete or self._stopped:
            return ()
        self._checked = verdict.agreeing or verdict.asked
        self.disputed = not verdict.agreeing
        if self.disputed:
            return ()
        named: dict[str, None] = {}
        for worker in verdict.asked - verdict.agreeing:
            record = self.records[worker]
            record.outcome, record.detail = "failed", CONTRADICTS
            named[record.address] = None
            del self._answers[worker]
        self.exposed.extend(named)
        if super().enough(verdict.agreeing):
            self._complete = True
            for worker in self._answers.keys() - verdict.agreeing:
                # It came while the others were checked: nothing is known of it.
                self.records[worker].outcome = "late"
            # Where blocks are there as they are, the others were but witnesses.
            needed = plain_copies(self.code, verdict.agreeing) or verdict.agreeing
            self._answers = {w: self._answers[w] for w in needed}
        return tuple(named)

    def _suffices(self) -> bool:
        return False  # until they are judged
