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
from benchmarks.faults.predictors import Predictor
from benchmarks.faults.script import RESTARTING
from benchmarks.faults.soak import Answers
from fcdcc_keras.execution.records import LayerRecord

MOST_SECONDS = 2.0
"""Within which a layer must have noticed that too few answer."""
_PREDICTIONS = 4


def beyond(
    site: Site,
    predictor: Predictor,
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
        predictor: The model on them.
        kinds: Faults to choose from, for every worker anew.
        rounds: How often.
        stragglers: γ.
        seed: Of what happens.
        progress: Told what is going on.
    """
    from distributed import Client

    rng, answers = random.Random(seed), Answers(predictor)
    done: list[dict[str, Any]] = []
    with (
        Client(site.address, set_as_default=False) as client,
        Acts(client, site.places) as acts,
    ):
        for number in range(rounds):
            count = stragglers + 1 + number % 2
            chosen = rng.sample(site.places, count)
            happens = [(rng.choice(kinds), place) for place in chosen]
            done.append(_round(site, answers, acts, happens))
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
    site: Site, answers: Answers, acts: Acts, happens: list[Any]
) -> dict[str, Any]:
    for kind, place in happens:
        acts.begin(kind, place)
    records = [r for _ in range(_PREDICTIONS) for r in answers.predict().records]
    for kind, place in happens:
        acts.end(kind, place)
    restored = time.monotonic()
    with ExitStack() as starting:
        for kind, place in happens:
            if kind in RESTARTING:
                starting.enter_context(place.starting())
        healed = _wait_until_healed(site, answers, acts)
    return {
        "what": [f"{kind}@{place.index}" for kind, place in happens],
        "detection_s": max(map(_detection, records)),
        "slowest_layer_s": max(r.collect for r in records),
        "local": sum(r.local is not None for r in records),
        "healed": healed,
        "healed_after_s": time.monotonic() - restored,
    }


def _detection(record: LayerRecord) -> float:
    """Returns after how long a layer sent the last part that it sent, in seconds."""
    sent = [task.sent for task in record.subtasks if task.sent is not None]
    return max(sent, default=record.started) - record.started


def _wait_until_healed(site: Site, answers: Answers, acts: Acts) -> bool:
    """Predicts until every place's worker has a share of its own, and has answered."""
    deadline, used = time.monotonic() + BACK_TIMEOUT, set[str]()
    while time.monotonic() < deadline:
        records = answers.predict().records
        used |= {t.address for r in records for t in r.subtasks if t.started}
        if {acts.address(place) for place in site.places} <= used:
            return True
    return False
