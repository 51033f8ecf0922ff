"""What one layer asks of the client, the links and the workers: bytes and seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fcdcc_keras.codes import Code, Replication
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, LayerCost
from fcdcc_keras.planning.cost import narrowness

_ITEMSIZE = 4


@dataclass(frozen=True)
class Load:
    """One layer for one image of float32, on given devices."""

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
    """Seconds of a worker at its usual speed."""
    decode: float
    """Seconds of the client for the output."""
    share_encode: float
    """Seconds of the client for one kernel share."""

    def encode_seconds(self, parts: int) -> float:
        """Returns the client's time for some coded inputs."""
        return self.encode_first + self.encode_each * parts if parts else 0.0

    @classmethod
    def of(
        cls,
        path: str,
        geometry: ConvGeometry,
        code: Code,
        cost: LayerCost,
        device: Calibration,
    ) -> Load:
        """Returns what a planned layer asks of devices.

        Args:
            path: Name of the layer.
            geometry: Its sizes.
            code: Its code.
            cost: What it costs under the code.
            device: The devices' figures.

        Raises:
            PlanError: Which answers suffice depends on whose they are.
        """
        if isinstance(code, Replication):
            raise PlanError(
                "Codes can be simulated of which any δ answers suffice. Received: "
                f"{code} in layer {path!r}. Use code='auto' or another one."
            )
        n, delta = code.workers, code.recovery_threshold
        mixed = 0 if code.k_a == 1 else n - code.plain_workers
        encode_work = mixed * code.k_a * cost.upload
        decode_work = max(0, cost.coding - encode_work)
        read = math.prod(geometry.input_size) * geometry.channels
        written = math.prod(geometry.output_size) * geometry.filters
        channels = geometry.group_filters * code.ell_b / code.k_b

        def coding(floats: float, work: float) -> float:
            # Mixing few parts is as slow as memory, mixing many as multiplying.
            return max(
                floats * _ITEMSIZE / device.coding_rate, work / device.client_rate
            )

        return cls(
            path=path,
            threshold=delta,
            upload=cost.upload * _ITEMSIZE,
            answer=cost.download // delta * _ITEMSIZE,
            share=cost.storage * _ITEMSIZE,
            message=device.message,
            encode_first=coding(read, 0),
            encode_each=coding(cost.upload, encode_work / n),
            convolution=cost.multiply_adds / narrowness(channels) / device.worker_rate
            + cost.storage * _ITEMSIZE / device.kernel_rate,
            decode=coding(cost.download + written, decode_work),
            share_encode=coding(cost.storage * code.k_b / code.ell_b, 0),
        )

    def seconds(self, workers: int, device: Calibration) -> float:
        """Returns how long the layer takes where all n workers are as fast as usual.

        All send at the same time then, also those that are not waited for.
        """

        def through(nbytes: int) -> float:
            shared = workers * nbytes / device.bandwidth
            return max(shared, nbytes / device.worker_bandwidth)

        return (
            self.encode_seconds(workers)
            + self.message * workers
            + through(self.upload)
            + self.convolution
            + through(self.answer)
            + device.latency
            + self.decode
        )
