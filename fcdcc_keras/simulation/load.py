"""What a layer asks of the client, the links and the workers: bytes and seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fcdcc_keras.codes import Code, Replication
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, Prices
from fcdcc_keras.planning.cost import call_filters, layer_cost, narrowness
from fcdcc_keras.planning.layer_time import LayerTime, micro_bands

_ITEMSIZE = 4


@dataclass(frozen=True)
class Load:
    """One micro-batch of a layer, for one image of float32, on given devices."""

    path: str
    """Name of the layer."""
    threshold: int
    """δ: answers that suffice, whosever they are."""
    upload: int
    """Bytes sent to each worker."""
    answer: int
    """Bytes that each returns."""
    share: int
    """Bytes of its kernel share."""
    message: float
    """Seconds of the client for each worker that it sends to."""
    encode_first: float
    """Seconds for reading the input, however many parts are encoded from it."""
    encode_each: float
    """Seconds of the client for each coded input."""
    convolution: float
    """Seconds of a worker at its usual speed, with what it does for each call."""
    head_start: float
    """Seconds by which a worker that is free is sooner."""
    decode: float
    """Seconds of the client for the output."""
    share_encode: float
    """Seconds of the client for one kernel share."""

    def encode_seconds(self, parts: int) -> float:
        """Returns the client's time for some coded inputs."""
        return self.encode_first + self.encode_each * parts if parts else 0.0


def loads_of(
    path: str, geometry: ConvGeometry, code: Code, device: Calibration
) -> tuple[Load, ...]:
    """Returns what a layer's micro-batches ask of devices.

    The terms are those of ``planning.layer_time``; but a client that mixes many parts
    does not do so at the speed of its memory, which that has for a few.

    Args:
        path: Name of the layer.
        geometry: Its sizes.
        code: Its code.
        device: The devices' figures.

    Raises:
        PlanError: Which answers suffice depends on whose they are.
    """
    if isinstance(code, Replication):
        raise PlanError(
            "Codes can be simulated of which any δ answers suffice. Received: "
            f"{code} in layer {path!r}. Use code='auto' or another one."
        )
    geometry = geometry.condensed
    bands = micro_bands(geometry, code, device.near, _ITEMSIZE)
    return tuple(
        _load(path, band, geometry, code, device, first=number == 0)
        for number, band in enumerate(bands)
    )


def _load(
    path: str,
    band: ConvGeometry,
    geometry: ConvGeometry,
    code: Code,
    device: Calibration,
    *,
    first: bool,
) -> Load:
    cost = layer_cost(band, code, Prices(), _ITEMSIZE)
    mixed = 0 if code.k_a == 1 else code.workers - code.plain_workers
    encode_work = mixed * code.k_a * cost.upload
    decode_work = max(0, cost.coding - encode_work)
    read = math.prod(band.input_size) * band.channels
    written = math.prod(band.output_size) * band.filters
    rate = narrowness(call_filters(geometry, code)) * device.worker_rate

    def coding(floats: float, work: float) -> float:
        return max(floats * _ITEMSIZE / device.coding_rate, work / device.client_rate)

    return Load(
        path=path,
        threshold=code.recovery_threshold,
        upload=cost.upload * _ITEMSIZE,
        answer=cost.download // code.recovery_threshold * _ITEMSIZE,
        share=cost.storage * _ITEMSIZE,
        message=device.message,
        encode_first=coding(read, 0),
        encode_each=coding(cost.upload, encode_work / code.workers),
        convolution=cost.multiply_adds / rate
        + cost.storage * _ITEMSIZE / device.kernel_rate
        + device.call,
        head_start=device.head_start if first else 0.0,
        decode=coding(cost.download + written, decode_work),
        share_encode=coding(cost.storage * code.k_b / code.ell_b, 0),
    )


def usual_seconds(loads: Sequence[Load], workers: int, device: Calibration) -> float:
    """Returns how long a layer takes where all n workers are as fast as usual."""
    upload, answer = (sum(getattr(b, s) for b in loads) for s in ("upload", "answer"))
    time = LayerTime(
        fixed=device.latency,
        encode=sum(band.encode_seconds(workers) for band in loads),
        upload=upload / device.worker_bandwidth + workers * upload / device.bandwidth,
        convolution=sum(band.convolution for band in loads),
        download=answer / device.worker_bandwidth
        + loads[0].threshold * answer / device.bandwidth,
        decode=sum(band.decode for band in loads),
        messages=sum(band.message for band in loads) * workers,
        bands=len(loads),
        head_start=loads[0].head_start,
    )
    return float(time.total())
