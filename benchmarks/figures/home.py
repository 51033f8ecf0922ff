"""Boards at a switch: six devices as workers, and the client on one more of the kind.

What each situation is over was measured in turn with it: the whole model on a device by
itself, by plain Keras and by the light engine, and other ways to use the workers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.figures.edge_device import KERAS, LIGHT, MAP, SPECULATION
from benchmarks.figures.estimate import Estimate, median, ratio
from benchmarks.figures.figure import Goal, Outcome
from benchmarks.figures.home_lab import (
    CODED,
    FAULTY,
    OURS,
    Measured,
    Situation,
    bring_up,
)
from benchmarks.figures.models import LENET

if TYPE_CHECKING:
    from benchmarks.figures.run import Run

Read = Callable[[Measured], Estimate]


def measure(run: Run, situation: Situation, read: Read) -> Outcome:
    """Measures a figure, or reads it from what was measured for another."""
    found = run.shared("home", bring_up).find(situation, run)
    local = sum(turn.get("local", 0) for of in found.turns.values() for turn in of)
    return Outcome(read(found), found.rounds, local, _parts(found))


def prediction(run: Run) -> Outcome:
    """Measures ``home_prediction``."""
    home = run.shared("home", bring_up)
    found = {situation: home.find(situation, run) for situation in PREDICTED}
    off = [abs(predicted_over_measured(each) - 1) for each in found.values()]
    return Outcome(
        Estimate(max(off), median(off).quartiles),
        min(each.rounds for each in found.values()),
        parts={
            f"{s.model}, {s.rate}, {s.workers} workers": _parts(each)
            for s, each in found.items()
        },
    )


def over(name: str) -> Read:
    """Returns what reads how many times faster than something ours is."""
    return lambda found: ratio(found.seconds[name], found.seconds[OURS])


def over_best(found: Measured) -> Estimate:
    """Reads how many times faster ours is than the best on one device."""
    best = min((KERAS, LIGHT), key=lambda name: median(found.seconds[name]).value)
    return over(best)(found)


def faulty_over_well(found: Measured) -> Estimate:
    """Reads how many times as fast ours is under a fault as without it."""
    return ratio(found.seconds[OURS], found.seconds[FAULTY])


def megabytes(found: Measured) -> Estimate:
    """Reads what was sent and received for a prediction."""
    turns = found.turns[OURS]
    return median([(t.get("sent", 0) + t.get("received", 0)) / 1e6 for t in turns])


def predicted_over_measured(found: Measured) -> float:
    """Returns the seconds that the plan expected over those that it took."""
    expected: float = found.made[OURS]["expected"]
    return expected / median(found.seconds[OURS]).value


def _parts(found: Measured) -> dict[str, Any]:
    return {
        **{
            f"{name}_ms": median(seconds).scaled(1e3).to_json()
            for name, seconds in found.seconds.items()
        },
        **{
            f"over_{name}": over(name)(found).to_json()
            for name in found.seconds
            if name != OURS
        },
        "predicted_over_measured": predicted_over_measured(found),
        "megabytes": megabytes(found).to_json(),
        "faults": list(found.faults),
        "made": dict(found.made),
        "where": dict(found.where),
    }


_PEERS = (CODED, SPECULATION, MAP)
_VGG16, _RESNET50 = (Situation(model, peers=_PEERS) for model in ("VGG16", "ResNet50"))
PREDICTED = tuple(
    Situation(model, rate, workers=workers, alone=False)
    for model, rate, workers in (
        ("VGG16", "500mbit", 4),
        ("VGG19", "200mbit", 6),
        ("VGG16", "100mbit", 5),
        ("ResNet50", "1gbit", 4),
        ("ResNet101", "500mbit", 6),
        ("MobileNetV2", "1gbit", 6),
    )
)
"""What ``home_prediction`` is about. The cluster is calibrated at each rate, with all
six workers, by layers that are in none of these models."""


def _at_least(limit: float, name: str, text: str) -> Goal:
    return Goal(f"home_{name}", text, "ratio", limit, higher_is_better=True)


FIGURES: tuple[tuple[Goal, Situation, Read], ...] = (
    (
        _at_least(3.5, "vgg16", "VGG16, one image: times faster than plain Keras"),
        _VGG16,
        over(KERAS),
    ),
    (
        _at_least(2.6, "vgg16_over_light", "times faster than the light engine"),
        _VGG16,
        over(LIGHT),
    ),
    (
        Goal("home_vgg16_megabytes", "sent and received for it", "MB", limit=6),
        _VGG16,
        megabytes,
    ),
    (
        _at_least(1.8, "resnet50", "ResNet50, one image: over plain Keras"),
        _RESNET50,
        over(KERAS),
    ),
    (
        _at_least(1.2, "resnet50_over_light", "over the light engine"),
        _RESNET50,
        over(LIGHT),
    ),
    *(
        (
            _at_least(
                limit, f"vgg16_{rate}", f"VGG16 on links of {rate}: over plain Keras"
            ),
            Situation("VGG16", rate, peers=_PEERS),
            over(KERAS),
        )
        for rate, limit in (("300mbit", 3.0), ("100mbit", 2.3))
    ),
    *(
        (
            _at_least(0.95, name, f"{model}: over the better way on one device"),
            Situation(model),
            over_best,
        )
        for name, model in (("mobilenetv2", "MobileNetV2"), ("lenet5", LENET))
    ),
    *(
        (
            _at_least(
                5.0,
                f"throughput_{model.lower()}",
                f"{model}, 24 images, throughput: over plain Keras",
            ),
            Situation(model, objective="throughput", batch=24, peers=(MAP,)),
            over(KERAS),
        )
        for model in ("VGG16", "ResNet50")
    ),
    *(
        (
            _at_least(limit, name, f"VGG16 with {text}: over all well"),
            Situation("VGG16", fault=fault, alone=False),
            faulty_over_well,
        )
        for name, text, fault, limit in (
            ("two_stopped", "two workers stopped", "stopped", 0.65),
            ("one_slow", "one ten times slower", "slow", 0.75),
        )
    ),
)
"""What is asked of each, where it is measured, and how it is read."""
