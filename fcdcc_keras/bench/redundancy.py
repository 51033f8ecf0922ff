"""What redundancy costs while nobody straggles: coded over an uncoded split."""

from __future__ import annotations

from fcdcc_keras.bench.anatomy import Watched
from fcdcc_keras.bench.figure import Outcome
from fcdcc_keras.bench.interleave import interleave
from fcdcc_keras.bench.models import build, random_images
from fcdcc_keras.bench.run import Run
from fcdcc_keras.bench.statistics import median, ratio

WORKERS = 6
STRAGGLERS = 2
_LEARNING = 3
"""Passes in which hedging learns how long workers take."""


def auto(run: Run) -> Outcome:
    """Measures ``coded_over_uncoded_auto``."""
    return _over_uncoded(run, "auto")


def crme(run: Run) -> Outcome:
    """Measures ``coded_over_uncoded_crme``."""
    return _over_uncoded(run, "crme")


def coding(run: Run) -> Outcome:
    """Measures ``systematic_over_crme_coding``."""
    import fcdcc_keras as fk

    rounds = run.rounds(15, _LEARNING)
    client, model, image = run.loopback(WORKERS), build("VGG16"), random_images(1)
    systematic, crme = (
        fk.distribute(
            model, client, stragglers=STRAGGLERS, code=code, redundancy="hedged"
        )
        for code in ("systematic", "crme")
    )
    with fk.closing(systematic), fk.closing(crme):
        watched = {
            "systematic": Watched(systematic, image),
            "crme": Watched(crme, image),
        }
        samples = interleave(
            {name: each.turn for name, each in watched.items()},
            rounds,
            warm_up=_LEARNING,
            step=run.step,
        )
    seconds = {name: each.coding_seconds(rounds) for name, each in watched.items()}
    return Outcome(
        ratio(seconds["systematic"], seconds["crme"]),
        rounds,
        sum(each.client_convolutions for each in watched.values()),
        {
            name: {
                "coding_ms": median(seconds[name]).scaled(1e3).to_json(),
                **each.parts(samples[name]),
            }
            for name, each in watched.items()
        },
    )


def _over_uncoded(run: Run, code: str) -> Outcome:
    import fcdcc_keras as fk

    rounds = run.rounds(15, _LEARNING)
    client, model, image = run.loopback(WORKERS), build("VGG16"), random_images(1)
    coded = fk.distribute(
        model, client, stragglers=STRAGGLERS, code=code, redundancy="hedged"
    )
    uncoded = fk.distribute(
        model, client, workers=WORKERS - STRAGGLERS, stragglers=0, code="uncoded"
    )
    with fk.closing(coded), fk.closing(uncoded):
        watched = {"coded": Watched(coded, image), "uncoded": Watched(uncoded, image)}
        samples = interleave(
            {name: each.turn for name, each in watched.items()},
            rounds,
            warm_up=_LEARNING,
            step=run.step,
        )
    return Outcome(
        ratio(samples["coded"], samples["uncoded"]),
        rounds,
        sum(each.client_convolutions for each in watched.values()),
        {
            name: {
                "ms": median(samples[name]).scaled(1e3).to_json(),
                **each.parts(samples[name]),
            }
            for name, each in watched.items()
        },
    )
