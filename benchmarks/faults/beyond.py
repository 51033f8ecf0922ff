"""More workers away at once than the code tolerates: how soon it goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks.faults.acts import Acts
from benchmarks.faults.places import Site
from benchmarks.faults.player import BACK_TIMEOUT
from benchmarks.faults.script import RESTARTING
from benchmarks.faults.soak import Answers
from benchmarks.faults.subjects import Subject
from fcdcc_keras.execution.records import LayerRecord

MOST_SECONDS = 2.0
"""Within which a layer must have noticed that too few answer."""
_PREDICTIONS = 4


def beyond(
    site: Site,
    coded: Any,
    subject: Subject,
    *,
    kinds: tuple[str, ...],
    rounds: int,
    stragglers: int,
    seed: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Takes γ + 1 or γ + 2 workers away, predicts, gives them back; again and again.

    Args:
        site: Where the workers are.
        coded: The model on them.
        subject: The plain model's inputs and outputs.
        kinds: Faults to choose from, for every worker anew.
        rounds: How often.
        stragglers: γ.
        seed: Of what happens.
        progress: Told what is going on.
    """
    from distributed import Client

    rng, answers = random.Random(seed), Answers(subject, coded)
    done: list[dict[str, Any]] = []
    with (
        Client(site.address, set_as_default=False) as client,
        Acts(client, site.places) as acts,
    ):
        for number in range(rounds):
            count = stragglers + 1 + number % 2
            chosen = rng.sample(site.places, count)
            happens = [(rng.choice(kinds), place) for place in chosen]
            done.append(_round(site, coded, answers, acts, happens))
            progress(f"round {number + 1}: {done[-1]}")
    return {
        **answers.to_json(),
        "rounds": len(done),
        "longest_detection_s": max(r["detection_s"] for r in done),
        "detected_in_time": all(r["detection_s"] <= MOST_SECONDS for r in done),
        "recovered": sum(r["healed"] for r in done),
        "client_convolutions": sum(r["local"] for r in done),
        "each": done,
    }


def _round(
    site: Site, coded: Any, answers: Answers, acts: Acts, happens: list[Any]
) -> dict[str, Any]:
    import fcdcc_keras as fk

    with fk.trace(coded) as trace:
        for kind, place in happens:
            acts.begin(kind, place)
        for _ in range(_PREDICTIONS):
            answers.predict()
        for kind, place in happens:
            acts.end(kind, place)
    restored = time.monotonic()
    with ExitStack() as starting:
        for kind, place in happens:
            if kind in RESTARTING:
                starting.enter_context(place.starting())
        healed = _wait_until_healed(site, coded, answers, acts)
    return {
        "what": [f"{kind}@{place.index}" for kind, place in happens],
        "detection_s": max(map(_detection, trace.records)),
        "slowest_layer_s": max(r.collect for r in trace.records),
        "local": trace.local_convolutions,
        "healed": healed,
        "healed_after_s": time.monotonic() - restored,
    }


def _detection(record: LayerRecord) -> float:
    """Returns after how long a layer sent the last part that it sent, in seconds."""
    sent = [task.sent for task in record.subtasks if task.sent is not None]
    return max(sent, default=record.started) - record.started


def _wait_until_healed(site: Site, coded: Any, answers: Answers, acts: Acts) -> bool:
    """Predicts until every place's worker has a share of its own, and has answered."""
    import fcdcc_keras as fk

    deadline, used = time.monotonic() + BACK_TIMEOUT, set[str]()
    while time.monotonic() < deadline:
        with fk.trace(coded) as trace:
            answers.predict()
        used |= {t.address for r in trace.records for t in r.subtasks if t.started}
        if {acts.address(place) for place in site.places} <= used:
            return True
    return False
