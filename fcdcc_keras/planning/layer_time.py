"""How long one coded layer takes, stage by stage.

A layer passes five stages: the client encodes, inputs go up, workers convolve, answers
come down, the client decodes. Large layers are cut into bands of rows that follow each
other, each stage at work on another; then the longest stage sets the pace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.codes import Code
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.micro_batches import FAR, NEAR, micro_batches
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import Prices, call_filters, layer_cost, narrowness


@dataclass(frozen=True)
class LayerTime:
    """Seconds of one image in one layer; of the stages those of all bands together."""

    fixed: float
    """Of a layer that hardly sends or computes anything."""
    encode: float
    upload: float
    convolution: float
    """Of one worker at its usual speed, with what it does for each call."""
    download: float
    decode: float
    messages: float
    """Of the client, for handing inputs over and taking answers."""
    bands: int
    """Micro-batches that the layer is cut into."""
    head_start: float = 0.0
    """By which the first band is sooner, at most as much as workers and links take."""

    def total(self, slowdown: float | NDArray[np.float64] = 1.0) -> NDArray[np.float64]:
        """Returns the seconds of the layer where its convolutions are slowed.

        Args:
            slowdown: Factor of the last worker that is waited for; may be an array.
        """
        convolution = self.convolution * np.asarray(slowdown, float)
        client = self.encode + self.decode + self.messages
        away = (self.upload + convolution + self.download) / self.bands
        first = client / self.bands + np.maximum(0, away - self.head_start)
        pace = np.maximum(convolution, max(client, self.upload, self.download))
        return np.asarray(self.fixed + first + pace * (self.bands - 1) / self.bands)

    def around_convolution(self) -> float:
        """Returns the seconds of a subtask beside its convolution."""
        return self.fixed + (self.upload + self.download) / self.bands


@dataclass(frozen=True)
class Load:
    """What one band of a layer asks of the client, the links and the workers."""

    upload: int
    """Bytes sent to each worker."""
    answer: int
    """Bytes that each returns."""
    share: int
    """Bytes of its kernel share."""
    encode_first: float
    """Seconds for reading the input, however many parts are encoded from it."""
    encode_each: float
    """Seconds of the client for each coded input."""
    convolution: float
    """Seconds of a worker at its usual speed, with what it does for each call."""
    decode: float
    """Seconds of the client for the output."""
    share_encode: float
    """Seconds of the client for one kernel share."""
    head_start: float
    """Seconds by which a worker that is free is sooner."""

    def encode_seconds(self, parts: int) -> float:
        """Returns the client's time for some coded inputs."""
        return self.encode_first + self.encode_each * parts if parts else 0.0


@lru_cache(maxsize=65536)
def layer_time(
    geometry: ConvGeometry,
    code: Code,
    calibration: Calibration,
    itemsize: int = 4,
    *,
    hedged: bool = False,
    part: float = 1.0,
) -> LayerTime:
    """Returns how long a layer takes under a code.

    Args:
        geometry: Sizes of the layer.
        code: The code.
        calibration: What the workers and the client can do.
        itemsize: Bytes of one float.
        hedged: Whether only as many workers as needed are sent to.
        part: Bytes that are sent of those of an input that is not encoded.
    """
    able, delta = calibration, code.recovery_threshold
    sent = delta if hedged else code.workers
    bands = loads(geometry, code, able, itemsize, hedged=hedged)
    upload, answer = sum(b.upload for b in bands), sum(b.answer for b in bands)
    moved = upload * part if code.k_a == 1 else upload
    return LayerTime(
        fixed=able.latency,
        encode=sum(band.encode_seconds(sent) for band in bands),
        upload=moved / able.worker_bandwidth + sent * moved / able.bandwidth,
        convolution=sum(band.convolution for band in bands),
        download=answer / able.worker_bandwidth + delta * answer / able.bandwidth,
        decode=sum(band.decode for band in bands),
        messages=able.message * sent * len(bands),
        bands=len(bands),
        head_start=able.head_start,
    )


def loads(
    geometry: ConvGeometry,
    code: Code,
    calibration: Calibration,
    itemsize: int = 4,
    *,
    hedged: bool = False,
) -> tuple[Load, ...]:
    """Returns what each of a layer's bands asks for; see ``layer_time``.

    A client encodes and decodes at the speed of its memory, but for codes that mix so
    many parts that their multiply-adds take longer.
    """
    geometry = geometry.condensed
    able, delta = calibration, code.recovery_threshold
    sent = delta if hedged else code.workers
    rate = narrowness(call_filters(geometry, code)) * able.worker_rate

    def coding(floats: float, multiply_adds: float) -> float:
        by_memory = floats * itemsize / able.coding_rate
        return max(by_memory, multiply_adds / able.client_rate)

    def load(band: ConvGeometry, *, first: bool) -> Load:
        cost = layer_cost(band, code, Prices(), itemsize, hedged=hedged)
        plain = min(code.plain_workers, sent)
        encoding = 0 if code.k_a == 1 else (sent - plain) * code.k_a * cost.upload
        read = math.prod(band.input_size) * band.channels
        written = math.prod(band.output_size) * band.filters
        return Load(
            upload=cost.upload * itemsize,
            answer=cost.download // delta * itemsize,
            share=cost.storage * itemsize,
            encode_first=coding(read, 0),
            encode_each=coding(cost.upload, encoding / sent),
            convolution=cost.multiply_adds / rate
            + cost.storage * itemsize / able.kernel_rate
            + able.call,
            decode=coding(cost.download + written, max(0, cost.coding - encoding)),
            share_encode=coding(cost.storage * code.k_b / code.ell_b, 0),
            head_start=able.head_start if first else 0.0,
        )

    bands = micro_bands(geometry, code, able.near, itemsize)
    return tuple(load(band, first=band is bands[0]) for band in bands)


def micro_bands(
    geometry: ConvGeometry, code: Code, near: bool, itemsize: int
) -> list[ConvGeometry]:
    """Returns the micro-batches that execution will cut one image's layer into."""
    inputs = math.prod(geometry.input_size) * geometry.channels
    outputs = math.prod(geometry.output_size) * geometry.filters
    nbytes = (inputs + outputs) * itemsize
    way = NEAR if near else FAR
    parts = micro_batches(1, geometry, code.k_a, nbytes, way)
    return [geometry.of_rows(part.rows)[0] for part in parts]
