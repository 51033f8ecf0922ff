"""Plans without certificates, for more workers than a code can be certified for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, ClientWork, Plan, check_redundancy
from fcdcc_keras.planning.layer_time import layer_time
from fcdcc_keras.planning.search import families, suits
from fcdcc_keras.planning.stragglers import Straggling


@dataclass(frozen=True)
class SketchedLayer:
    """How one layer would be coded, if the code was exact enough."""

    path: str
    geometry: ConvGeometry
    code: Code
    hedged: bool = False


@dataclass(frozen=True)
class Sketch:
    """A plan whose codes' errors are not known: to be simulated, not to be run."""

    workers: int
    """n."""
    stragglers: int
    """γ asked for."""
    layers: tuple[SketchedLayer, ...]
    calibration: Calibration
    """What the splits were chosen by."""
    straggling: Straggling | None = None
    client: ClientWork | None = None


def sketch(
    layers: Plan | Iterable[tuple[str, ConvGeometry]],
    device: Calibration,
    *,
    workers: int,
    stragglers: int = 1,
    code: str = "quaternion",
) -> Sketch:
    """Returns the quickest splits for n workers, without certifying codes.

    A layer's δ is n − γ, or below it a power of two or three times one, whatever is
    quickest where all workers are as fast as usual. Certifying inverts matrices of
    k_A·k_B rows by the thousand, which for thousands of workers takes days.

    Args:
        layers: (Path, geometry) of each, or a plan that has them.
        device: What to weigh by.
        workers: n.
        stragglers: γ, the least number of workers that may be missing.
        code: Name of the kind of code.

    Raises:
        PlanError: The numbers are impossible, or no such code suits a layer.
    """
    check_redundancy(workers, stragglers)
    client = None
    if isinstance(layers, Plan):
        client = layers.client
        layers = [(layer.path, layer.geometry) for layer in layers.layers]
    (family,) = families(code, stragglers)
    designs = [
        design
        for threshold in _thresholds(workers - stragglers)
        for design in family.designs(workers, threshold)
    ]
    made: dict[ConvGeometry, Code] = {}
    sketched = []
    for path, geometry in layers:
        if geometry not in made:
            made[geometry] = _quickest(path, geometry, designs, device)
        sketched.append(SketchedLayer(path, geometry, made[geometry]))
    return Sketch(workers, stragglers, tuple(sketched), device, client=client)


def _thresholds(most: int) -> list[int]:
    """Returns δ's to try: many divide layers no better than a few."""
    powers = [2**i for i in range(most.bit_length())]
    round_ones = {d for p in powers for d in (p, 3 * p) if d < most}
    return [most, *sorted(round_ones, reverse=True)]


def _quickest(
    path: str, geometry: ConvGeometry, designs: Sequence[Code], device: Calibration
) -> Code:
    suiting = [design for design in designs if suits(design, geometry)]
    if not suiting:
        raise PlanError(
            "A layer must be one that a code of the kind can be used for. Received: "
            f"{path!r}, with {len(designs)} designs none of which suits it. Choose "
            "another code, or other numbers."
        )

    return min(suiting, key=lambda code: layer_time(geometry, code, device).total())
