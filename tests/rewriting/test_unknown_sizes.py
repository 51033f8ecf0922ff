"""Models whose images may have any height and width."""

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.forward import sized_at_call
from fcdcc_keras.rewriting.planners import layer as layer_planner


def model(channels=3):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, channels))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="first")(inputs)
    x = keras.layers.Conv2D(6, 3, activation="relu", name="second")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def images(height, width, batch=2):
    rng = np.random.default_rng(height)
    return rng.normal(size=(batch, height, width, 3)).astype("float32")


def test_every_size_gives_the_answer_of_the_original():
    plain = model()
    coded = fk.distribute(plain, fk.LocalExecutor(4), fallback="raise")
    assert "planned at the first call" in str(fk.report(coded))
    for size in [(12, 12), (40, 9), (12, 12), (7, 64)]:
        x = images(*size)
        with fk.trace(coded) as trace:
            y = coded.predict(x, verbose=0)
        assert trace.distributed_convolutions == 2
        assert trace.local_convolutions == 0
        np.testing.assert_allclose(y, plain.predict(x, verbose=0), atol=1e-5)
    detail = fk.report(coded).layers[0].detail
    assert "any 3 of 4 workers suffice" in detail


def test_plan_says_which_layers_wait_and_is_used_again(tmp_path):
    plain = model()
    plan = fk.plan(plain, workers=4)
    assert plan.layers == ()
    assert [path for path, _ in plan.at_call] == ["first", "second"]
    assert "planned at the first call for each height and width: first" in str(plan)
    again = fk.Plan.from_json(plan.to_json(tmp_path / "plan.json"))
    assert again == plan
    coded = fk.distribute(plain, fk.LocalExecutor(4), plan=again)
    with fk.trace(coded) as trace:
        coded(images(16, 16))
    assert trace.distributed_convolutions == 2
    with pytest.raises(fk.PlanError, match="must be for the model"):
        fk.distribute(model(channels=4), fk.LocalExecutor(4), plan=plan)


def test_each_size_is_planned_once_and_few_are_remembered(monkeypatch):
    planned = []
    plan_layer = layer_planner.plan_layer

    def spy(path, geometry, **options):
        planned.append((path, geometry.input_size))
        return plan_layer(path, geometry, **options)

    monkeypatch.setattr(layer_planner, "plan_layer", spy)
    monkeypatch.setattr(sized_at_call, "MOST_SIZES", 2)
    coded = fk.distribute(model(), fk.LocalExecutor(3), layers="first")
    planned.clear()  # the least size was tried, to know whether any code suits
    for size in (8, 9, 8, 9, 8):
        coded(images(size, size))
    assert planned == [("first", (8, 8)), ("first", (9, 9))]
    coded(images(10, 10))  # forgets 9, which was not seen for longest
    coded(images(8, 8))
    coded(images(9, 9))
    assert [size for _, size in planned[2:]] == [(10, 10), (9, 9)]


def test_workers_hold_few_codes_of_a_layer(monkeypatch):
    monkeypatch.setattr(sized_at_call, "MOST_CODES", 1)
    executor = fk.LocalExecutor(6)
    coded = fk.distribute(
        model(), executor, stragglers=2, layers="second", fallback="raise"
    )
    plain, sizes = model(), [(6, 400), (400, 6), (7, 8)]
    for size in sizes:
        np.testing.assert_allclose(
            coded(images(*size)), plain(images(*size)), atol=1e-5
        )
    codes = {fk.plan(sized(*s), workers=6, stragglers=2).layers[0].code for s in sizes}
    assert len(codes) > 1  # one would be as good for all, and the test would be void
    assert len(executor.placements) == 1
    assert len(coded.get_layer("second").coded.plans) == 1


def sized(height, width):
    inputs = keras.Input((-(-height // 2), -(-width // 2), 8))
    return keras.Model(inputs, keras.layers.Conv2D(6, 3)(inputs))


def test_no_code_that_is_exact_enough_is_known_before_any_call():
    with pytest.raises(fk.PlanError, match="must stay within tolerance=1e-12"):
        fk.distribute(model(), fk.LocalExecutor(4), tolerance=1e-12)


def test_after_close_further_sizes_are_computed_locally():
    plain, executor = model(), fk.LocalExecutor(4)
    coded = fk.distribute(plain, executor)
    coded(images(8, 8))
    fk.close(coded)
    assert executor.placements == []
    for size in (8, 9):
        np.testing.assert_allclose(
            coded(images(size, size)), plain(images(size, size)), atol=1e-6
        )
    assert executor.placements == []
