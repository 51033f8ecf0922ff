"""A coded layer with next to nothing to compute: what is left is its overhead."""

from __future__ import annotations

import math
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures.worker_side import seconds_of_convolution
from fcdcc_keras.execution.executors.connect import TransportChoice
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program
from fcdcc_keras.programs import to_text
from fcdcc_keras.worker.weights import Weights

if TYPE_CHECKING:
    from distributed import Client

SMALL = (4, 32, 8)
"""(C, W, rows per worker) of a layer with 4 kB each way per worker."""
LARGE = (16, 256, 64)
"""(C, W, rows per worker) of a layer with 1 MB each way per worker."""


class IdleLayer:
    """One 1×1 convolution over n workers, all of whose answers are needed.

    CRME with k_A = 2n and k_B = 1, so δ = n: the same answers are waited for as of
    n bare sockets. Every worker gets 4 B times C, W and its rows, and returns as much.
    """

    def __init__(
        self,
        client: Client,
        workers: int,
        size: tuple[int, int, int] = SMALL,
        transport: TransportChoice = "direct",
        *,
        monitored: bool = True,
    ) -> None:
        """Places the layer on the first n workers of a cluster.

        Args:
            client: Of the cluster.
            workers: n.
            size: Of the layer.
            transport: How it reaches them.
            monitored: Whether what becomes of it is counted, and told the scheduler.
        """
        import keras

        import fcdcc_keras as fk

        channels, width, rows = size
        keras.utils.set_random_seed(0)
        inputs = keras.Input((rows * workers, width, channels))
        layer = keras.layers.Conv2D(channels, 1, use_bias=False)
        self.workers = workers
        self.payload = 4 * math.prod(size)
        """Bytes to each worker, and from it."""
        self.records: list[LayerRecord] = []
        code = fk.codes.get("crme")(2 * workers, 1, workers)
        self._coded = fk.distribute(
            keras.Model(inputs, layer(inputs)),
            client,
            workers=workers,
            stragglers=0,
            code=code,
            transport=transport,
            fallback="raise",
        )
        if not monitored:
            session = self._coded.layers[1].session
            session.notes.listeners.clear()
            session.executor.on_begin = lambda: None
        rng = np.random.default_rng(0)
        self._input = rng.normal(size=(1, *inputs.shape[1:])).astype("float32")
        self._stack = ExitStack()
        self._stack.callback(fk.close, self._coded)
        trace = self._stack.enter_context(fk.trace(self._coded))
        self.records = trace.records
        # What a worker is sent: ℓ_A = 2 coded inputs of one part each.
        self.coded = np.ascontiguousarray(
            self._input.reshape(workers, 2, rows // 2, width, channels)[0]
        )
        self.kernel = np.asarray(self._coded.layers[1].get_weights()[0])
        plain = ConvGeometry((1, 1), channels, channels, (1, 1))
        self.program = to_text(convolution_program(plain, "float32"))
        """What each worker computes."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The workers' addresses."""
        addresses: tuple[str, ...] = self._coded.layers[1].session.executor.addresses
        return addresses

    @property
    def client_convolutions(self) -> int:
        """Convolutions that the client computed itself."""
        return sum(record.local is not None for record in self.records)

    def transport(self) -> float:
        """Runs the layer; returns the seconds from sending to the last answer."""
        return self._call().collect

    def whole(self) -> float:
        """Runs the layer; returns the seconds of transport and coding."""
        record = self._call()
        return record.encode + record.collect + record.decode

    def close(self) -> None:
        """Frees the layer."""
        self._stack.close()

    def __enter__(self) -> IdleLayer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _call(self) -> LayerRecord:
        self._coded(self._input)
        return self.records[-1]


class OwnTime:
    """The time of an idle layer's convolution on a worker with nothing else to do."""

    def __init__(self, client: Client, layer: IdleLayer) -> None:
        self._client = client
        self._address = layer.addresses[0]
        self._coded, self._program = layer.coded, layer.program
        self._share: Any = client.scatter(
            Weights(layer.kernel), workers=[self._address], hash=False
        )

    def __call__(self) -> float:
        """Measures it; returns seconds."""
        future = self._client.submit(
            seconds_of_convolution,
            self._share,
            self._coded,
            self._program,
            workers=[self._address],
            pure=False,
        )
        seconds: float = future.result()
        return seconds


def waves(workers: int) -> float:
    """Returns how many convolutions of n workers each core here has to compute."""
    return workers / min(workers, len(os.sched_getaffinity(0)))
