"""How a layer's answers are checked, and whether they agree."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fcdcc_keras.codes.parity import redundant
from fcdcc_keras.coding.agreement import agree
from fcdcc_keras.coding.job import Job
from fcdcc_keras.dispatch.collector import Collector, Verdict
from fcdcc_keras.dispatch.verified import VerifiedCollector


def collector_for(job: Job, addresses: Sequence[str]) -> Collector:
    """Returns what collects the answers of a job.

    Args:
        job: The layer.
        addresses: Address of each slot's worker.
    """
    kind = VerifiedCollector if job.verify == "parity" else Collector
    return kind(job.code, addresses, job.limit)


def judge(
    job: Job, given: Mapping[str, Collection[int]], results: Mapping[int, np.ndarray]
) -> Verdict:
    """Finds out whether answers agree, or without which worker's they do.

    Args:
        job: The layer.
        given: The slots that each worker answered for.
        results: The result for each of these slots.
    """
    asked = frozenset(results)
    if agree(job, results):
        return Verdict(asked, asked)
    found = []
    for slots in given.values():
        others = asked.difference(slots)
        # Without parity left to say so, anybody's removal would do.
        if redundant(job.code, others, VerifiedCollector.spare) and agree(
            job, {slot: results[slot] for slot in others}
        ):
            found.append(others)
    return Verdict(asked, found[0] if len(found) == 1 else frozenset())
