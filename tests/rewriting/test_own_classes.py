"""Models and layers of users' own classes, which make their layers themselves."""

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from tests.rewriting.own_classes import (
    Block,
    Configured,
    LateBlock,
    Net,
    OwnGraph,
    Policied,
    Stack,
    Unconfigured,
)


def images(batch=2, size=12):
    rng = np.random.default_rng(3)
    return rng.normal(size=(batch, size, size, 3)).astype("float32")


def functional(*layers):
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", name="stem")(inputs)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def called(model):
    model(images())
    return model


MODELS = {  # how to make one: the convolutions run in one pass
    "layer": (lambda: functional(Block(6)), 3),
    "late layer": (lambda: functional(LateBlock(5)), 2),
    "layers in layers": (lambda: functional(Stack(), Block(6)), 6),
    "used twice": (lambda: functional(*[Block(6)] * 2), 5),
    "subclassed": (lambda: called(Net()), 4),
    "configured": (lambda: called(Configured([4, 6, 3])), 3),
    "own graph": (lambda: OwnGraph(5), 2),
    "subclassed within": (lambda: functional(Configured([4, 5])), 3),
    "time": (
        lambda: keras.Sequential(
            [
                keras.Input((4, 12, 12, 3)),
                keras.layers.TimeDistributed(keras.layers.Conv2D(4, 3)),
            ]
        ),
        4,
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_convolutions_inside_are_coded(case):
    keras.utils.set_random_seed(0)
    make, convolutions = MODELS[case]
    model = make()
    x = np.stack([images()] * 4, 1) if case == "time" else images()
    expected = model.predict(x, verbose=0)
    before = model.get_weights()
    coded = fk.distribute(model, fk.LocalExecutor(4), fallback="raise")
    with fk.trace(coded) as trace:
        outputs = coded.predict(x, verbose=0)
    assert trace.distributed_convolutions == convolutions
    assert trace.local_convolutions == 0
    for a, b in zip(*map(keras.tree.flatten, (outputs, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert type(coded) is type(model)
    assert coded.name == model.name
    # The original has its layers and weights, and still computes alone.
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any(isinstance(x, fk.CodedConv2D) for x in model._flatten_layers())
    with fk.trace(coded) as trace:
        model(x)
    assert not trace.records


def test_report_and_plan_have_the_paths_of_the_original():
    model = functional(Stack(name="stack"))
    block = model.get_layer("stack").blocks["a"]
    paths = [f"stack/{block.name}/{c.name}" for c in block.convolutions]
    plan = fk.plan(model, workers=4)
    assert [layer.path for layer in plan.layers][:3] == ["stem", *paths]
    coded = fk.distribute(model, fk.LocalExecutor(4), layers=paths[1:])
    report = fk.report(coded)
    assert report.converted == (paths[1],)
    assert report.not_converted[paths[0]] == "it was not chosen by `layers`"
    assert "stack" in report.not_converted


def test_compiled_subclassed_model_trains_as_the_original():
    keras.utils.set_random_seed(0)
    model = called(Net())
    model.compile(keras.optimizers.SGD(0.05), loss="mse", metrics=["mae"])
    coded = fk.distribute(model, fk.LocalExecutor(4), fallback="raise")
    x, y = images(8), np.ones((8, 3), "float32")
    with fk.trace(coded) as trace:
        found = coded.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    assert trace.distributed_convolutions == 4 * 4
    expected = model.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(
        found.history["loss"], expected.history["loss"], rtol=1e-4
    )


@pytest.mark.parametrize("base", [keras.Sequential, keras.Model])
def test_methods_that_a_class_overrides_are_kept(base):
    class Mine(base):
        def predict_step(self, data):
            return -super().predict_step(data)

        def call(self, x, **options):
            return super().call(x, **options) + 1.0

    inputs, conv = keras.Input((12, 12, 3)), keras.layers.Conv2D(4, 3)
    model = (
        Mine([inputs, conv]) if base is keras.Sequential else Mine(inputs, conv(inputs))
    )
    coded = fk.distribute(model, fk.LocalExecutor(3), fallback="raise")
    assert type(coded) is Mine
    with fk.trace(coded) as trace:
        y = coded.predict(images(), verbose=0)
    assert trace.distributed_convolutions == 1
    np.testing.assert_allclose(y, model.predict(images(), verbose=0), atol=1e-5)


def test_models_that_cannot_be_made_again_are_refused():
    class Opaque(keras.Model):
        def __init__(self, layer):
            super().__init__()
            self.conv = layer

        def call(self, x):
            return self.conv(x)

    model = called(Opaque(keras.layers.Conv2D(4, 3)))
    with pytest.raises(
        fk.PlanError, match=r"no `get_config` that gives layer\. Give .*"
    ):
        fk.plan(model, workers=3)

    with pytest.raises(fk.PlanError, match=r"no `get_config` that gives filters"):
        fk.plan(Unconfigured(5), workers=3)

    class Forgetful(Configured):
        def __init__(self, widths, scale=1.0, **options):
            super().__init__(widths, **options)
            self.scale = scale

    # Made again with the default of `scale`, it would be another model in silence.
    model = called(Forgetful([4], scale=2.0))
    with pytest.raises(fk.PlanError, match=r"get_config leaves out scale"):
        fk.distribute(model, fk.LocalExecutor(3))


def test_model_of_other_weights_when_made_again_is_refused():
    class Random(keras.Model):
        made = 0

        def __init__(self):
            super().__init__()
            Random.made += 1
            self.conv = keras.layers.Conv2D(Random.made, 3)

        def call(self, x):
            return self.conv(x)

    with pytest.raises(fk.PlanError, match="must have the same weights"):
        fk.distribute(called(Random()), fk.LocalExecutor(3))


def test_layers_that_the_copy_has_not_are_reported():
    class Moody(keras.layers.Layer):
        """Has the convolution last the first time, and first the second."""

        made = 0

        def __init__(self, **options):
            super().__init__(**options)
            Moody.made += 1
            conv, norm = keras.layers.Conv2D(6, 3), keras.layers.Activation("relu")
            self.inner = [conv, norm] if Moody.made == 1 else [norm, conv]

        def call(self, x):
            return self.inner[1](self.inner[0](x))

    model = functional(Moody(name="moody"))
    report = fk.report(fk.distribute(model, fk.LocalExecutor(3)))
    assert report.converted == ("stem",)
    (path,) = (p for p, kind in report.not_converted.items() if "none like it" in kind)
    assert path.startswith("moody/conv2d")
    assert "Moody" in str(report)


def test_mixed_precision_inside_is_kept():
    model = functional(Policied(dtype="mixed_float16"))
    coded = fk.distribute(model, fk.LocalExecutor(4), fallback="raise")
    block = coded.layers[-1]
    assert block.dtype_policy.name == "mixed_float16"
    found, expected = coded(images()).numpy(), model(images()).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=2e-2)
