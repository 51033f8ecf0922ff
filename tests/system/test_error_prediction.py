"""Certificates against measured errors: real convolutions, random survivor sets."""

from dataclasses import replace

import numpy as np
import pytest

from fcdcc_keras import codes
from fcdcc_keras.coding.codec import LayerCodec, kernel_shares
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan, plan_layer
from fcdcc_keras.programs.exactness import plain_error

VGG_LAYER = ConvGeometry((28, 28), 256, 256, (3, 3), padding="same")


class Answers:
    """Any survivors' decoded output, from every worker's answer computed once."""

    def __init__(self, plan, dtype):
        rng = np.random.default_rng(0)
        geometry = plan.geometry
        x = np.maximum(rng.normal(size=(1, *geometry.input_size, geometry.channels)), 0)
        k = rng.normal(
            size=(*geometry.kernel_size, geometry.channels, geometry.filters)
        )
        self._stages = LayerCodec(plan.code, geometry, x.astype(dtype))
        workers = range(plan.code.workers)
        inputs = self._stages.encode(workers)
        shares = kernel_shares(plan.code, k.astype(dtype), workers)
        part = self._stages.part
        self._all = [convolve(a, b, part) for a, b in zip(inputs, shares, strict=True)]
        exact = (x.astype(dtype).astype("float64"), k.astype(dtype).astype("float64"))
        self.expected = convolve(*exact, geometry)
        plain = convolve(x.astype(dtype), k.astype(dtype), geometry)
        self.plain_error = self.error(plain)

    def error(self, outputs):
        return abs(outputs - self.expected).max() / abs(self.expected).max()

    def decoded(self, survivors):
        return self._stages.decode(survivors, [self._all[w] for w in survivors])


def random_sets(code, count):
    rng = np.random.default_rng(1)
    while count:
        size = code.recovery_threshold
        survivors = tuple(
            sorted(rng.choice(code.workers, size, replace=False).tolist())
        )
        if code.decodable(survivors):
            count -= 1
            yield survivors


@pytest.mark.parametrize("name", codes.names())
def test_float32_error_is_predicted_within_a_factor_of_three(name):
    workers, stragglers = (4, 0) if name == "uncoded" else (10, 2)
    plan = plan_layer(
        "vgg", VGG_LAYER, workers=workers, stragglers=stragglers, code=name
    )
    answers = Answers(plan, "float32")
    ratios = []
    for survivors in random_sets(plan.code, 200):
        alpha = plan.code.decoder(survivors).amplification
        error = answers.error(answers.decoded(survivors))
        # CPUs differ in how they sum; what decoding adds is the same on all.
        ratios.append(error / (alpha * answers.plain_error))
    assert 1 / 3 <= min(ratios)
    assert max(ratios) <= 3
    # What is assumed of a CPU that nobody has measured is at most a little too good.
    assert answers.plain_error <= 1.5 * plain_error("float32", VGG_LAYER.terms)


ALEXNET = (
    ConvGeometry((227, 227), 3, 96, (11, 11), (4, 4)),
    ConvGeometry((27, 27), 96, 256, (5, 5), padding="same"),
    ConvGeometry((13, 13), 256, 384, (3, 3), padding="same"),
    ConvGeometry((13, 13), 384, 384, (3, 3), padding="same"),
    ConvGeometry((13, 13), 384, 256, (3, 3), padding="same"),
)


@pytest.mark.parametrize("geometry", ALEXNET, ids="12345")
def test_alexnet_in_float64_is_as_exact_as_the_paper_says(geometry):
    plan = plan_layer("conv", geometry, workers=20, stragglers=4, dtype="float64")
    answers = Answers(plan, "float64")
    power = np.mean(answers.expected**2)
    worst = max(
        np.mean((answers.decoded(survivors) - answers.expected) ** 2) / power
        for survivors in random_sets(plan.code, 200)
    )
    assert worst <= 1e-27


def test_helpers_decode_what_the_plan_says():
    plan = LayerPlan.of("x", VGG_LAYER, codes.CRME(4, 4, 6))
    answers = Answers(replace(plan), "float64")
    y = answers.decoded((0, 2, 3, 5))
    np.testing.assert_allclose(y, answers.expected, atol=1e-9)
