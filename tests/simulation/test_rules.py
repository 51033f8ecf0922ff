"""The simulation goes by the stated laws."""

import math

import numpy as np
import pytest

from fcdcc_keras.codes import get
from fcdcc_keras.planning.layer_time import layer_time
from fcdcc_keras.planning.stragglers import OnOff
from fcdcc_keras.simulation import sketch
from fcdcc_keras.simulation.slowness import Spells


def test_spells_slow_the_stated_part_of_the_time():
    law = OnOff(0.25, math.inf, 0.1)
    spells = Spells(law, 400, seed=0)
    # In 10 s of work each is stopped a quarter of the time that passes.
    took = [spells.finish(w, 0.0, 10.0) for w in range(400)]
    spread = np.std(took) / math.sqrt(400)
    assert np.mean(took) == pytest.approx(10 / 0.75, abs=4 * spread)


def test_work_within_a_spell_takes_its_factor():
    spells = Spells(OnOff(1.0, 5.0, 1.0), 1, seed=0)
    assert spells.finish(0, 2.0, 3.0) == 2.0 + 5.0 * 3.0
    usual = Spells(OnOff(0.0, 5.0, 1.0), 1, seed=0)
    assert usual.finish(0, 2.0, 3.0) == 5.0


def test_work_goes_on_from_one_spell_to_the_next():
    # However it is cut into pieces, it ends at the same time.
    law = OnOff(0.5, 4.0, 0.3)
    whole = Spells(law, 1, seed=2).finish(0, 0.0, 8.0)
    pieces, now = Spells(law, 1, seed=2), 0.0
    for _ in range(64):
        now = pieces.finish(0, now, 0.125)
    assert now == pytest.approx(whole)


def test_a_sketch_takes_the_quickest_split_that_it_may(device, plan_for):
    plan = plan_for(12, 3)
    for layer in plan.layers:
        assert layer.code.workers == 12
        assert layer.code.stragglers >= 3
    layers = [(layer.path, layer.geometry) for layer in plan.layers]
    fewer = sketch(layers, device, workers=12, stragglers=9)
    assert all(layer.code.recovery_threshold <= 3 for layer in fewer.layers)
    # No other split of the same δ is quicker by the model.
    for layer in plan.layers:
        others = get("quaternion").designs(12, layer.code.recovery_threshold)
        times = [layer_time(layer.geometry, code, device).total() for code in others]
        chosen = layer_time(layer.geometry, layer.code, device).total()
        assert chosen == pytest.approx(min(times))
