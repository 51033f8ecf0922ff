"""What boxes cost is what each would by itself, and few are walked back."""

from __future__ import annotations

import pytest

from fcdcc_keras.partition import SizedProgram
from fcdcc_keras.partition.tiling import grid
from fcdcc_keras.planning.box_costs import BoxCosts
from fcdcc_keras.planning.operation_cost import EngineRates, OperationCosts
from fcdcc_keras.planning.stretch_costs import StretchCosts
from fcdcc_keras.planning.stretch_search import StretchSearch, Terms
from fcdcc_keras.planning.tile_time import Rates
from fcdcc_keras.planning.tiles import best_tiles
from tests.partition.networks import NETWORKS
from tests.planning.stretches_to_plan import calibration, deep

_ENGINES = (EngineRates(1e9, 1e8, 1e7, 1e-5), EngineRates(1e9, light=False))


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The boxes that are walked back, one after another."""
    found: list[object] = []
    walk = SizedProgram._walk

    def counted(self: SizedProgram, box: tuple[range, ...]) -> object:
        found.append((id(self), box))
        return walk(self, box)

    monkeypatch.setattr(SizedProgram, "_walk", counted)
    return found


@pytest.mark.parametrize(
    "name", [name for name, make in NETWORKS.items() if len(make().inputs) == 1]
)
@pytest.mark.parametrize("counts", [(1, 2, 3, 2), (2, 99, 5, 1), (3, 4, 99, 3)])
def test_a_box_costs_what_it_does_by_itself(name: str, counts: tuple[int, ...]) -> None:
    drawn = NETWORKS[name]()
    sized = SizedProgram(drawn.program, drawn.shapes)
    costs, shape = OperationCosts(drawn.program, sized.shapes), drawn.whole.shape
    boxes = BoxCosts(sized)
    for engine in _ENGINES:
        for box in grid(shape, counts[: len(shape) - 1]):
            needed, work = sized.needed(box), sized.work(box)
            expected = needed[0], sum(costs.seconds(needed, work, engine)), sum(work)
            assert boxes.back(box, engine) == expected


def test_of_a_thousand_tiles_few_are_walked_back(walks: list[object]) -> None:
    sized = SizedProgram(deep(4).program, [(1, 64, 64, 64)])
    tiles = best_tiles(sized, (1.0,) * 1_000, Rates(bandwidth=1e12))
    assert len(tiles) >= 500
    rows = 2 * (64 * 65) // 2  # no axis can have more
    assert len(walks) < rows


def test_a_stretch_is_planned_for_a_thousand_workers(walks: list[object]) -> None:
    costs = StretchCosts(deep(4))
    StretchSearch(costs, Terms(calibration(1), 1_000)).best()
    assert len(walks) < costs.cuts * 32 * 33
