"""What redundancy, and checking by it, cost while nobody straggles or lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.figures.anatomy import Watched
from benchmarks.figures.estimate import Estimate, median, ratio
from benchmarks.figures.figure import Outcome
from benchmarks.figures.interleave import interleave
from benchmarks.figures.models import build, random_images
from benchmarks.figures.run import Run

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
    rounds, watched, samples = _interleaved(
        run,
        {
            name: {"code": name, "stragglers": STRAGGLERS, "redundancy": "hedged"}
            for name in ("systematic", "crme")
        },
    )
    seconds = {name: each.coding_seconds(rounds) for name, each in watched.items()}
    value = ratio(seconds["systematic"], seconds["crme"])
    return _outcome(value, rounds, watched, samples, "coding_ms", seconds)


def finite(run: Run) -> Outcome:
    """Measures ``finite_over_off``."""
    return _over_unchecked(run, "finite")


def parity(run: Run) -> Outcome:
    """Measures ``parity_over_off``."""
    return _over_unchecked(run, "parity")


def _over_unchecked(run: Run, verify: str) -> Outcome:
    rounds, watched, samples = _interleaved(
        run,
        {
            name: {"stragglers": STRAGGLERS, "verify": name, "fallback": "raise"}
            for name in (verify, "off")
        },
    )
    value = ratio(samples[verify], samples["off"])
    return _outcome(value, rounds, watched, samples, "ms", samples)


def _over_uncoded(run: Run, code: str) -> Outcome:
    delta = WORKERS - STRAGGLERS
    rounds, watched, samples = _interleaved(
        run,
        {
            "coded": {"code": code, "stragglers": STRAGGLERS, "redundancy": "hedged"},
            "uncoded": {"code": "uncoded", "stragglers": 0, "workers": delta},
        },
    )
    value = ratio(samples["coded"], samples["uncoded"])
    return _outcome(value, rounds, watched, samples, "ms", samples)


def _interleaved(
    run: Run, options: Mapping[str, Mapping[str, Any]]
) -> tuple[int, dict[str, Watched], dict[str, list[float]]]:
    """Distributes VGG16 in several ways, and has each predict in turn.

    Args:
        run: How often, and on what.
        options: For each name what ``fk.distribute`` is given.

    Returns:
        The number of rounds, and for each name what was watched and took how long.
    """
    import fcdcc_keras as fk

    rounds = run.rounds(15, _LEARNING)
    client, model, image = run.loopback(WORKERS), build("VGG16"), random_images(1)
    with ExitStack() as open_models:
        watched = {
            name: Watched(
                open_models.enter_context(
                    fk.closing(fk.distribute(model, client, **chosen))
                ),
                image,
            )
            for name, chosen in options.items()
        }
        samples = interleave(
            {name: each.turn for name, each in watched.items()},
            rounds,
            warm_up=_LEARNING,
            step=run.step,
        )
    return rounds, watched, samples


def _outcome(
    value: Estimate,
    rounds: int,
    watched: Mapping[str, Watched],
    samples: Mapping[str, list[float]],
    shown: str,
    seconds: Mapping[str, Sequence[float]],
) -> Outcome:
    return Outcome(
        value,
        rounds,
        sum(each.client_convolutions for each in watched.values()),
        {
            name: {
                shown: median(seconds[name]).scaled(1e3).to_json(),
                **each.parts(samples[name]),
            }
            for name, each in watched.items()
        },
    )
