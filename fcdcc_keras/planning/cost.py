"""What a coded layer costs, in floats, bytes and multiply-adds, and its price.

The formulas are those of FCDCC (arXiv:2411.01579) with the exact sizes of the
parts, zeros included, in place of fractions of the layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fcdcc_keras.checks import is_number
from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ChannelPartition, ConvGeometry, best_parts

_NARROW_CHANNELS = 12
"""Output channels at which a CPU convolution reaches half of its best rate.

Measured on one thread for 3×3 kernels: 8 channels run at 0.35, 16 at 0.6, 32 at
0.85 and 64 at 0.95 of the rate at 128. Groups of 4 channels run at a quarter of it,
and depthwise convolutions at a tenth.
"""


@dataclass(frozen=True)
class Prices:
    """What communication, storage and computation are worth, in seconds.

    The defaults describe small devices behind one gigabit link of the client.
    """

    communication: float = 8e-9
    """Seconds per byte between the client and its workers (1 Gbit/s)."""
    storage: float = 8e-12
    """Seconds per byte held: shipped once, used for a thousand calls."""
    computation: float = 1e-10
    """Seconds per multiply-add of one worker (20 GFLOP/s)."""
    coding: float = 1e-10
    """Seconds per multiply-add of encoding and decoding in the client."""
    ordering: float = 2e-10
    """Seconds per byte of kernel that a worker puts into the order it computes in, at
    every call (5 GB/s; a library that knows the kernel beforehand does it once)."""

    def __post_init__(self) -> None:
        for field, value in vars(self).items():
            if not is_number(value, least=0):
                raise PlanError(
                    "A price must be a number of at least 0. Received: "
                    f"{field}={value!r}. Give seconds per unit."
                )


@dataclass(frozen=True)
class LayerCost:
    """What one coded layer costs for each image."""

    upload: int
    """Floats sent to each worker: ℓ_A·C·Ĥ·W."""
    download: int
    """Floats that the δ fastest workers return, in all."""
    storage: int
    """Floats of coded kernel that each worker holds: ℓ_B·K_H·K_W·C·⌈N/k_B⌉."""
    multiply_adds: int
    """Multiply-adds of each worker."""
    coding: int
    """Multiply-adds of encoding and decoding in the client."""
    price: float
    """Seconds by the prices: the link is shared, computation is not."""


def layer_cost(
    geometry: ConvGeometry,
    code: Code,
    prices: Prices,
    itemsize: int = 4,
    *,
    hedged: bool = False,
) -> LayerCost:
    """Returns what one layer costs under a code.

    Args:
        geometry: Sizes of the layer.
        code: The code, with its split and workers.
        prices: What to weigh the costs by.
        itemsize: Bytes of one float.
        hedged: Whether only as many workers as needed are sent to, as long as none
            is late.
    """
    geometry = geometry.condensed
    block_filters = ChannelPartition(geometry.filters, code.k_b).block_filters
    channels_out = code.ell_b * block_filters
    parts = best_parts(geometry, channels_out, 1, code.k_a)
    upload, answer = code.ell_a * parts.upload, code.ell_a * parts.answer
    storage = parts.part.kernel_floats
    multiply_adds = code.ell_a * parts.part.multiply_adds
    sent = code.recovery_threshold if hedged else code.workers
    wire = sent * upload + code.recovery_threshold * answer
    encoded, decoded = _mixtures(code, sent)
    coding = encoded * code.k_a * upload // code.ell_a + decoded * answer
    rate = narrowness(call_filters(geometry, code))
    price = (
        prices.communication * wire * itemsize
        + prices.storage * code.workers * storage * itemsize
        + prices.computation * multiply_adds / rate
        + prices.ordering * storage * itemsize
        + prices.coding * coding
    )
    return LayerCost(
        upload=upload,
        download=code.recovery_threshold * answer,
        storage=storage,
        multiply_adds=multiply_adds,
        coding=coding,
        price=price,
    )


def _mixtures(code: Code, sent: int) -> tuple[int, int]:
    """Returns the coded inputs to mix, and how often each answer enters a block.

    Workers with plain blocks need no mixing, and of blocks that come plainly nothing
    is decoded. Of the workers sent to, each is as likely as any to be left out.
    """
    delta, plain = code.recovery_threshold, min(code.plain_workers, sent)
    encoded = 0 if code.k_a == 1 else (sent - plain) * code.ell_a
    blocks = code.k_a * code.k_b
    if plain >= delta:
        blocks = blocks * (sent - plain) // sent
    return encoded, blocks * delta


def call_filters(geometry: ConvGeometry, code: Code) -> int:
    """Returns the output channels of a worker's call, of one group of them."""
    blocks = ChannelPartition(geometry.filters, code.k_b)
    filters = code.ell_b * blocks.block_filters
    return replace(geometry, filters=filters).group_filters


def narrowness(channels: float) -> float:
    """Returns which part of its best rate a convolution reaches.

    Args:
        channels: Output channels of one call, of one group where there are groups.
    """
    return channels / (channels + _NARROW_CHANNELS)
