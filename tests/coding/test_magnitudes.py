"""Images of one batch that are larger and smaller than each other by powers of ten."""

import numpy as np
import pytest

from fcdcc_keras.codes import (
    CRME,
    Chebyshev,
    KhatriRao,
    Quaternion,
    Rotation,
    Systematic,
    Vandermonde,
    certify,
)
from fcdcc_keras.coding.agreement import agree
from fcdcc_keras.coding.codec import LayerCodec, kernel_shares
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.coding.job import Job
from fcdcc_keras.coding.magnitudes import scales
from fcdcc_keras.execution.executors.local import LocalExecutor, LocalFault
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.records import Policy
from fcdcc_keras.partition import IMAGES, ConvGeometry
from fcdcc_keras.planning import LayerPlan

CODES = [
    CRME(8, 1, 6),
    CRME(4, 4, 6),
    CRME(1, 8, 6),
    Quaternion(8, 2, 6),
    Rotation(8, 1, 6),
    KhatriRao(4, 1, 6),
    Systematic(4, 1, 6),
    Systematic(8, 2, 6, parity="quaternion"),
    Chebyshev(4, 1, 6),
    Vandermonde(4, 1, 6),
]
GEOMETRIES = {
    "images": ConvGeometry((5, 5), 8, 8, (3, 3), padding="same"),
    "height": ConvGeometry((64, 3), 8, 8, (1, 1)),
}
SIZES = 10.0 ** np.array([0, -6, 6, 10, -10, 1, -3, 3, 0])
PARTS_OF_ERROR = 3
"""Within which α predicts errors; see docs/codes.md."""


def batch(geometry, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(len(SIZES), *geometry.input_size, geometry.channels))
    images *= SIZES[:, None, None, None]
    images[-1] = 0
    kernel = rng.normal(size=(*geometry.kernel_size, geometry.channels, 8))
    return images.astype("float32"), kernel.astype("float32")


def coded(code, geometry, faults=None, **policy):
    plan = LayerPlan.of("conv", geometry, code)
    executor = LocalExecutor(code.workers, faults)
    policy = Policy(fallback="raise", tolerance=1.0, **policy)
    return CodedConvolution(plan, executor, policy)


def exact(images, kernel, geometry):
    return convolve(images.astype("float64"), kernel.astype("float64"), geometry)


@pytest.mark.parametrize("missing", [(), (0, 1), (2, 5)])
@pytest.mark.parametrize("cut", GEOMETRIES)
@pytest.mark.parametrize("code", CODES, ids=str)
def test_the_certificate_holds_for_each_image_by_itself(code, cut, missing):
    geometry = GEOMETRIES[cut]
    images, kernel = batch(geometry)
    if code.k_a > 1:
        index = LayerCodec(code, geometry, images).parts.index
        assert (index == IMAGES) == (cut == "images")
    faults = {w: LocalFault(error="gone") for w in missing}
    outputs = coded(code, geometry, faults)(images, kernel)
    expected = exact(images, kernel, geometry)
    allowed = certify(code).error(worst=True, terms=geometry.terms)
    for output, right in zip(outputs, expected, strict=True):
        error = np.abs(output - right).max()
        assert error <= PARTS_OF_ERROR * allowed * np.abs(right).max()


def test_scaling_is_exact():
    code, geometry = Systematic(4, 1, 6), GEOMETRIES["images"]
    images, kernel = batch(geometry)
    outputs = coded(code, geometry, verify="off")(images, kernel)
    plain = convolve(images, kernel, geometry)
    np.testing.assert_array_equal(outputs, plain)  # blocks of plain workers


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_spoils_no_other(value):
    code, geometry = CRME(8, 1, 6), GEOMETRIES["images"]
    images, kernel = batch(geometry)
    images[3, 2, 2, 0] = value
    outputs = coded(code, geometry)(images, kernel)
    plain = convolve(images, kernel, geometry)
    np.testing.assert_array_equal(outputs, plain)


@pytest.mark.parametrize("cut", GEOMETRIES)
@pytest.mark.parametrize("code", [CRME(8, 1, 6), Systematic(4, 1, 6)], ids=str)
def test_lies_about_a_small_image_are_seen(code, cut):
    geometry = GEOMETRIES[cut]
    images, kernel = batch(geometry)
    executor = LocalExecutor(code.workers)
    placement = executor.place("conv", lambda who: kernel_shares(code, kernel, who))
    stages = LayerCodec(code, geometry, images)
    job = Job(
        "conv",
        code,
        placement,
        stages.encode,
        stages.part,
        stages.result_shape,
        images.dtype,
        timeout=1.0,
        terms=geometry.terms,
    )
    results = {}
    for w, image in enumerate(stages.encode(range(code.workers))):
        share = placement.held[w]
        results[w] = convolve(image, *share.arrays, stages.part).copy()
    assert agree(job, results)
    for image in range(stages.result_shape[0]):
        for lie in (1.01, -1.0):
            altered = results[1].copy()
            altered[image] *= lie
            if altered[image].any():
                assert not agree(job, {**results, 1: altered})


def of_sizes(*sizes, dtype="float32"):
    images = np.zeros((len(sizes), 2, 2, 1), dtype)
    images[:, 1, 0, 0] = sizes
    return images


@pytest.mark.parametrize(
    ("sizes", "powers"),
    [
        ((1.0, -1.0), None),
        ((1.0, 0.51), None),  # less than two powers of two apart
        ((0.0, 0.0), None),
        ((1.0, np.nan), None),
        ((1e-3, np.inf), None),
        ((1.0, 0.0), (0, 0)),
        ((-1.0, 0.25), (0, 2)),
        ((0.25, 0.0, 1e-6), (0, 0, 18)),
        ((1.5e38, 1e-45), (0, 126)),
    ],
)
def test_scales_are_powers_of_two(sizes, powers):
    found = scales(of_sizes(*sizes))
    if powers is None:
        assert found is None
        return
    there, back = found
    assert there.dtype == back.dtype == np.float32
    np.testing.assert_array_equal(there.ravel(), 2.0 ** np.array(powers))
    np.testing.assert_array_equal(back.ravel() == 0, np.array(sizes) == 0)
    scaled = of_sizes(*sizes) * there
    assert np.isfinite(scaled).all()
    np.testing.assert_array_equal(scaled * back, of_sizes(*sizes))


def test_scales_of_float64_reach_further():
    there, back = scales(of_sizes(1.0, 1e-300, dtype="float64"))
    assert there.dtype == back.dtype == np.float64
    assert 0.25 < there[1, 0, 0, 0] * 1e-300 <= 2
