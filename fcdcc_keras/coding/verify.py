"""Collecting answers until they are known to agree, and finding out who lies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np

from fcdcc_keras.codes.parity import redundant
from fcdcc_keras.coding.agreement import agree
from fcdcc_keras.coding.job import Job
from fcdcc_keras.dispatch.collector import Collector, Verdict
from fcdcc_keras.dispatch.targets import plain_copies

CONTRADICTS = "its result contradicts those of the others"


def collector_for(job: Job, addresses: Sequence[str]) -> Collector:
    """Returns what collects the answers of a job.

    Args:
        job: The layer.
        addresses: Address of each slot's worker.
    """
    if job.verify == "parity":
        return VerifiedCollector(job, addresses)
    return Collector(job.code, addresses, job.limit)


class VerifiedCollector(Collector):
    """Is complete when answers that would show any one worker's lie agree."""

    spare = 1

    def __init__(self, job: Job, addresses: Sequence[str]) -> None:
        super().__init__(job.code, addresses, job.limit)
        self._job = job
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

    def question(self) -> Callable[[], Verdict] | None:
        """Returns what finds out whether the answers so far agree; see ``judged``."""
        answers = dict(self._answers)
        ready = redundant(self.code, answers, self.spare) and super().enough(answers)
        if self._complete or self._settled or not ready:
            return None
        if self._checked == answers.keys():
            return None
        homes: defaultdict[str, set[int]] = defaultdict(set)
        for worker in answers:
            homes[self.records[worker].address].add(worker)
        return partial(_judge, self._job, answers, homes)

    def judged(self, verdict: Verdict) -> tuple[str, ...]:
        """Takes a verdict into account; see ``Collector.judged``."""
        if self._complete or self._settled:
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

    def settle(self) -> None:
        """Ends collecting; what came on top is not verified, and not used."""
        self.stop()

    def _suffices(self) -> bool:
        return False  # until they are judged


def _judge(
    job: Job, answers: Mapping[int, np.ndarray], homes: Mapping[str, set[int]]
) -> Verdict:
    """Finds out whether answers agree, or without which worker's they do.

    Args:
        job: The layer.
        answers: For each slot its result.
        homes: The slots that each worker answered for.
    """
    asked = frozenset(answers)
    if agree(job, answers):
        return Verdict(asked, asked)
    found = []
    for slots in homes.values():
        others = asked - slots
        # Without parity left to say so, anybody's removal would do.
        if redundant(job.code, others, VerifiedCollector.spare) and agree(
            job, {w: answers[w] for w in others}
        ):
            found.append(others)
    return Verdict(asked, found[0] if len(found) == 1 else frozenset())
