"""Measuring what this process can do without any worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median

import numpy as np

from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program
from fcdcc_keras.planning.cost import narrowness
from fcdcc_keras.programs import Dense, Merge, Program
from fcdcc_keras.worker.engines.choice import client_threads, engine_for
from fcdcc_keras.worker.weights import Weights

WARM, LEAST, ROUNDS = 0.1, 0.3, 3
"""Seconds before anything counts, and those that do, in so many spells."""
_SMALLEST = 1e-9
_PIXELS = 1 << 21
"""Numbers of the map that memory is measured with: 8 MiB."""
_FEATURES = 4096
"""Of the matrix that reading kernels is measured with: 64 MiB, for caches."""
_CHAIN, _VARIABLES = 256, 64
"""Operations that are measured one after another, and variables."""
_COLD = 2.0
"""Times as long as over and over, as it is measured, takes a call where a model's
kernels and maps have been in the caches since."""
_SIDE, _CHANNELS = 512, 8
"""Of the map that an engine's memory is measured with: as many numbers."""
_ADDITIONS = 16


@dataclass(frozen=True)
class ClientSpeed:
    """What a client can do; ``Calibration`` says what the numbers mean."""

    rate: float
    kernel_rate: float
    memory_rate: float
    operation: float
    call: float = 0.0
    variable: float = 0.0


def client_speed(geometry: ConvGeometry) -> ClientSpeed:
    """Measures this process.

    Args:
        geometry: Of the convolution to measure with.
    """
    inputs, kernel = random_layer(geometry)
    seconds = _usual(lambda: convolve(inputs, kernel, geometry))
    work = geometry.multiply_adds / narrowness(geometry.filters)
    return ClientSpeed(work / seconds, *_tensorflow(), *_graphs())


def engine_speed(geometry: ConvGeometry) -> ClientSpeed | None:
    """Measures this process's light engine; None where that is not installed.

    Args:
        geometry: Of the convolution to measure with.
    """
    if find_spec("ai_edge_litert") is None:
        return None
    inputs, kernel = random_layer(geometry)
    program = convolution_program(geometry, "float32")
    seconds = _by_engine(program, inputs, kernel)
    work = geometry.multiply_adds / narrowness(geometry.filters)
    row = np.ones((1, _FEATURES), np.float32)
    matrix = np.ones((_FEATURES, _FEATURES), np.float32)
    product = Program((_FEATURES,), 0, (Dense((0,), (0,)),), (matrix.shape,))
    dense = _by_engine(product, row, matrix)
    pixels = np.ones((1, _SIDE, _SIDE, _CHANNELS), np.float32)
    added = _difference(pixels, _ADDITIONS)
    few = np.ones((1, 2, 2, 4), np.float32)
    return ClientSpeed(
        rate=work / seconds,
        kernel_rate=matrix.nbytes / dense,
        # Each reads two maps and writes one.
        memory_rate=3 * pixels.nbytes / added,
        operation=_difference(few, _CHAIN),
    )


def _difference(inputs: np.ndarray, many: int) -> float:
    """Returns the seconds that one more addition takes."""

    def chain(length: int) -> Program:
        operations = tuple(Merge((n, 0), (), "add") for n in range(length))
        return Program((inputs.shape[-1],), 2, operations)

    longer, shorter = (_by_engine(chain(n), inputs) for n in (many + 1, 1))
    return max((longer - shorter) / many, _SMALLEST)


def _by_engine(program: Program, inputs: np.ndarray, *weights: np.ndarray) -> float:
    held, engine = Weights(*weights), engine_for(program, "light")
    threads = client_threads()
    return _usual(lambda: held.run(inputs, program, engine, threads))


def random_layer(geometry: ConvGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Returns an input of one image and a kernel."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, *geometry.input_size, geometry.channels))
    k = rng.normal(size=(*geometry.kernel_size, geometry.channels, geometry.filters))
    return x.astype(np.float32), k.astype(np.float32)


def _tensorflow() -> tuple[float, float]:
    """Returns bytes of kernel and of maps per second."""
    import tensorflow as tf

    row, matrix = tf.ones((1, _FEATURES)), tf.ones((_FEATURES, _FEATURES))
    pixels = tf.ones((_PIXELS,))
    # Reading the result waits for it.
    dense = _usual(lambda: tf.linalg.matmul(row, matrix).numpy())
    relu = _usual(lambda: tf.nn.relu(pixels)[0].numpy())
    itemsize = 4
    return _FEATURES**2 * itemsize / dense, 2 * _PIXELS * itemsize / relu


def _graphs() -> tuple[float, float, float]:
    """Returns the seconds of an operation, of a call, and of a variable in it."""
    import tensorflow as tf

    few = np.ones((1, 4), np.float32)

    def chain(length: int, variables: Sequence[tf.Variable] = ()) -> float:
        @tf.function  # type: ignore[untyped-decorator]
        def run(data: Sequence[tuple[tf.Tensor]]) -> tf.Tensor:
            ((x,),) = data
            for number in range(length):
                # Of operations number by number TensorFlow would make a single one.
                x = x + variables[number] if variables else tf.nn.softmax(x)
            return x

        # As Keras has a model predict a batch.
        return _usual(lambda: run([(few,)]).numpy())

    one, many = chain(1), chain(_CHAIN)
    reading = chain(_VARIABLES, [tf.Variable(few) for _ in range(_VARIABLES)])
    operation = max((many - one) / (_CHAIN - 1), _SMALLEST)
    variable = max((reading - one) / _VARIABLES - operation, 0.0)
    return operation, _COLD * max(one - operation, 0.0), _COLD * variable


def _usual(run: Callable[[], object]) -> float:
    return sustained(run, WARM, LEAST)


def sustained(
    run: Callable[[], object],
    warm: float,
    least: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Returns the seconds that something takes which is done over and over.

    Without a pause, for as long as it takes that neither what a processor gives only
    for a moment counts for much, nor what a ration takes back now and then. Of some
    spells of it the median, since a lost packet makes one much longer.

    Args:
        run: Does it.
        warm: Seconds before anything counts; it is done once at least.
        least: Seconds that count, in ``ROUNDS`` spells; each does it once at least.
        clock: Tells seconds.
    """
    start = now = clock()
    while now == start or now - start < warm:
        run()
        now = clock()
    spells = []
    for _ in range(ROUNDS):
        start, times = now, 0
        while not times or now - start < least / ROUNDS:
            run()
            now, times = clock(), times + 1
        spells.append((now - start) / times)
    return max(median(spells), _SMALLEST)
