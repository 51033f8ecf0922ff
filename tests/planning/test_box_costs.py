"""What boxes cost is what each would by itself, and few are walked back."""

from __future__ import annotations

import pytest

from fcdcc_keras.partition import Box, SizedProgram
from fcdcc_keras.partition.tiling import grid
from fcdcc_keras.planning.chains.box_costs import BoxCosts
from fcdcc_keras.planning.chains.costs import StretchCosts
from fcdcc_keras.planning.chains.operation_cost import EngineRates, OperationCosts
from fcdcc_keras.planning.chains.search import StretchSearch, Terms
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.planning.chains.tiles import best_tiles
from tests.partition.networks import NETWORKS
from tests.planning.stretches_to_plan import calibration, deep

_ENGINES = (EngineRates(1e9, 1e8, 1e7, 1e-5), EngineRates(1e9, light=False))


class _Counts:
    """How many boxes were asked for, and how many walked back."""

    asked = walked = 0


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> _Counts:
    """How often boxes are costed while a test runs."""
    found, walk, back = _Counts(), SizedProgram._walk, BoxCosts.back

    def walked(self: SizedProgram, box: Box) -> object:
        found.walked += 1
        return walk(self, box)

    def asked(self: BoxCosts, box: Box, engine: EngineRates) -> object:
        found.asked += 1
        return back(self, box, engine)

    monkeypatch.setattr(SizedProgram, "_walk", walked)
    monkeypatch.setattr(BoxCosts, "back", asked)
    return found


@pytest.mark.parametrize(
    "name", [name for name, make in NETWORKS.items() if len(make().inputs) == 1]
)
@pytest.mark.parametrize("parts", [(1, 2, 3, 2), (2, 99, 5, 1), (3, 4, 99, 3)])
def test_a_box_costs_what_it_does_by_itself(name: str, parts: tuple[int, ...]) -> None:
    drawn = NETWORKS[name]()
    sized = SizedProgram(drawn.program, drawn.shapes)
    costs, shape = OperationCosts(drawn.program, sized.shapes), drawn.whole.shape
    boxes = BoxCosts(sized)
    for engine in _ENGINES:
        for box in grid(shape, parts[: len(shape) - 1]):
            needed, work = sized.needed(box), sized.work(box)
            expected = needed[0], sum(costs.seconds(needed, work, engine)), sum(work)
            assert boxes.back(box, engine) == expected


def test_of_many_tiles_few_are_walked_back(counts: _Counts) -> None:
    sized = SizedProgram(deep(4).program, [(1, 64, 64, 64)])
    tiles = best_tiles(sized, (1.0,) * 1_000, Rates(bandwidth=1e12))
    assert len(tiles) >= 500
    assert counts.asked > 5_000
    assert counts.walked < counts.asked / 5


def test_a_stretch_is_planned_for_a_thousand_workers(counts: _Counts) -> None:
    costs = StretchCosts(deep(2))
    StretchSearch(costs, Terms(calibration(1), 1_000)).best()
    assert counts.asked > 10_000
    assert counts.walked < counts.asked / 5
