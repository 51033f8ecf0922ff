"""Predicting through a storm, and what is to be said of it afterwards."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.faults.aftermath import resident
from benchmarks.faults.places import Site
from benchmarks.faults.player import Played, Storm, Witness
from benchmarks.faults.predictors import Answer, Predictor
from benchmarks.faults.script import RESTARTING, Gust
from fcdcc_keras.execution.records import LayerRecord

CALM = 50
"""Inferences before the storm, after which memory is measured."""
TOLERANCE = 1e-4
"""Largest deviation of an answer, relative to the greatest output."""


@dataclass
class Answers:
    """Predictions one by one. Times in seconds."""

    predictor: Predictor
    seconds: list[float] = field(default_factory=list)
    deviations: list[float] = field(default_factory=list)

    def predict(self) -> Answer:
        """Predicts once more, and compares."""
        answer = self.predictor.predict(len(self.seconds))
        self.seconds.append(answer.seconds)
        self.deviations.append(answer.deviation)
        return answer

    def to_json(self) -> dict[str, Any]:
        """Returns how many there are, how far off, and how long they took."""
        middle = statistics.median(self.seconds)
        p99 = float(np.percentile(self.seconds, 99))
        return {
            "answers": len(self.seconds),
            "wrong": sum(d > TOLERANCE for d in self.deviations),
            "largest_deviation": max(self.deviations),
            "p50_ms": middle * 1e3,
            "p99_ms": p99 * 1e3,
            "max_ms": max(self.seconds) * 1e3,
            "p99_over_median": p99 / middle,
            "max_over_median": max(self.seconds) / middle,
        }


def soak(
    site: Site,
    predictor: Predictor,
    script: Sequence[Sequence[Gust]],
    *,
    inferences: int,
    limit: float,
    progress: Callable[[str], None],
    calm: int = CALM,
) -> dict[str, Any]:
    """Predicts until the script is over, at least so often, and says what happened.

    Args:
        site: Where the workers are.
        predictor: The model on them.
        script: What happens meanwhile.
        inferences: The least number.
        limit: Seconds after which no more faults begin.
        progress: Told what is going on.
        calm: Inferences before the storm.
    """
    witness, before = Witness(), Answers(predictor)
    for _ in range(calm):
        before.predict()
    memory = {"before": resident(site, predictor.process)}
    during, started, said = Answers(predictor), time.monotonic(), 0.0
    spans: list[tuple[float, float]] = []
    worst: list[dict[str, Any]] = []
    with Storm(site, witness, script) as storm:
        while not storm.over or len(during.seconds) < inferences:
            began = time.time()
            answer = during.predict()
            spans.append((began, answer.seconds))
            witness.see(answer.records)
            _note(worst, storm, began, answer)
            elapsed = time.monotonic() - started
            if elapsed > limit:
                storm.stopping.set()
            if elapsed - said > 10:
                said = elapsed
                progress(
                    f"{elapsed:.0f} s: {len(during.seconds)} answers, "
                    f"{len(storm.played)} faults"
                )
    for _ in range(calm):
        witness.see(before.predict().records)
    memory["after"] = resident(site, predictor.process)
    return {
        **during.to_json(),
        "calm": before.to_json(),
        "client_convolutions": witness.local,
        **faults_to_json(storm.played),
        "max_over_median_by_kind": _slowest_by_kind(spans, storm.played),
        "most_at_once": storm.most_at_once,
        "memory_mb": memory,
        "memory_growth": {
            name: memory["after"][name] / mb - 1
            for name, mb in memory["before"].items()
        },
        "seconds": time.monotonic() - started,
        "slowest": worst,
    }


def _slowest_by_kind(
    spans: Sequence[tuple[float, float]], played: Sequence[Played]
) -> dict[str, float]:
    """Returns the longest answer, in medians, while each kind of fault happened.

    Until the worker was there again: with what else happened at the same time.

    Args:
        spans: When each answer was asked for, and how long it took.
        played: The faults.
    """
    middle = statistics.median(seconds for _, seconds in spans)
    longest: dict[str, float] = {}
    for p in played:
        over = p.ended or float("inf")
        meanwhile = [s for at, s in spans if at < over and at + s > p.began]
        so_far = longest.get(p.fault.kind, 0.0)
        longest[p.fault.kind] = max([so_far, *(s / middle for s in meanwhile)])
    return longest


def faults_to_json(played: Sequence[Played]) -> dict[str, Any]:
    """Returns how many faults of each kind there were, and what came of them."""
    by_kind: dict[str, list[Played]] = {}
    for p in played:
        by_kind.setdefault(p.fault.kind, []).append(p)
    restarted = [p for p in played if p.fault.kind in RESTARTING]
    return {
        "faults": len(played),
        "faults_by_kind": {kind: len(of) for kind, of in by_kind.items()},
        "restarted": len(restarted),
        "restarted_that_work_again": sum(p.back is not None for p in restarted),
        "all_work_again": all(p.back is not None for p in played),
        "longest_until_back_s": {
            kind: max((p.back - p.ended for p in of if p.back), default=None)
            for kind, of in by_kind.items()
        },
        "longest_restart_s": max((p.ended - p.began for p in restarted), default=None),
        "trouble": [f"{p.fault}: {p.trouble}" for p in played if p.trouble],
    }


def _note(
    worst: list[dict[str, Any]], storm: Storm, began: float, answer: Answer
) -> None:
    """Keeps the slowest answers, with what was going on."""
    seconds = answer.seconds
    if len(worst) == 10 and seconds < worst[-1]["seconds"]:
        return
    around = [
        f"{p.fault.kind}@{p.fault.place} from {p.began - began:+.2f} s"
        for p in list(storm.played)
        if p.began < began + seconds and (p.back is None or p.back > began)
    ]
    slowest = max(answer.records, key=lambda record: record.collect)
    worst.append(
        {"seconds": seconds, "meanwhile": around, "layer": _layer_to_json(slowest)}
    )
    worst.sort(key=lambda answer: -float(answer["seconds"]))
    del worst[10:]


def _layer_to_json(record: LayerRecord) -> dict[str, Any]:
    """Returns what became of each subtask, times from the layer's beginning."""

    def after(moment: float | None) -> float | None:
        return None if moment is None else round(moment - record.started, 4)

    return {
        "layer": record.layer,
        "encode": record.encode,
        "collect": record.collect,
        "subtasks": [
            {
                "address": task.address,
                "outcome": task.outcome,
                "sent": after(task.sent),
                "received": after(task.received),
                "detail": task.detail,
            }
            for task in record.subtasks
        ],
    }
