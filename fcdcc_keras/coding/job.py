"""One piece of a model to run: what workers get, and what they must answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.coding.finite import NOT_FINITE, all_finite
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program, convolution_text
from fcdcc_keras.programs import Program
from fcdcc_keras.programs.exactness import TYPICAL_TERMS
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.tensors import Allocate

Verify = Literal["off", "finite", "parity"]

Encode = Callable[[Sequence[int]], Any]
"""Gives the shares of some slots, one after another: of a coded layer as one array,
``(len(slots), …)``; of a chain a tuple of arrays for each."""


class EncodeInputs(Protocol):
    """Gives the coded inputs of some workers: ``(len(workers), ℓ_A·B, Ĥ, W, C)``."""

    def __call__(self, workers: Sequence[int], allocate: Allocate = ...) -> np.ndarray:
        """Encodes; into memory that ``allocate`` gives, if it gives any."""


class Placement:
    """The shares of one layer, or chain, on the workers of one executor."""

    def __init__(self, name: str, encode: Encode, *, alike: bool = False) -> None:
        self.name = name
        """Name of the layer, for people."""
        self.encode = encode
        """Gives the shares of some slots, to place them, or place them again."""
        self.alike = alike
        """Whether all shares are the same: a worker needs but one, whatever it does."""
        self.users = 0
        """Layers under way that use the shares."""
        self.held: dict[int | str, Any] = {}
        """What stands for a share, by slot; by the worker's address where all are
        alike."""

    def place(self, slot: int, address: str) -> int | str:
        """Returns what the share of a slot on a worker is held under."""
        return address if self.alike else slot


@dataclass(frozen=True)
class Job:
    """One coded convolution to run."""

    name: str
    """Name of the layer."""
    code: Code
    placement: Placement
    encode: EncodeInputs
    """Gives the coded inputs of some workers: ``(len(workers), ℓ_A·B, Ĥ, W, C)``."""
    geometry: ConvGeometry
    """Of what each worker convolves."""
    result_shape: tuple[int, ...]
    """Shape that each worker's result must have."""
    dtype: np.dtype[Any]
    """Type that each worker's result must have."""
    timeout: float
    """Seconds until the layer is given up."""
    limit: float = math.inf
    """Largest error amplification with which the layer may be decoded."""
    hedged: bool = False
    """Whether only as many workers as needed are sent to while none is late."""
    verify: Verify = "finite"
    """How results are checked, beyond their shape and type."""
    terms: int = TYPICAL_TERMS
    """Products in the sum of one output, K_H·K_W·C."""
    bounded: Callable[[], bool] = lambda: True
    """Returns whether input and kernel are such that true results are finite."""
    sparse: bool = False
    """Whether zeros are not sent, where they are many: where nothing is encoded."""

    def placement_of(self, slot: int) -> Placement:
        """Returns where the kernel shares are: for all slots, as what follows."""
        return self.placement

    def text_of(self, slot: int) -> str:
        """Returns what each worker computes, as text."""
        return convolution_text(self.geometry, self.dtype.name)

    def nbytes_of(self, slot: int) -> int:
        """Returns how many bytes each worker's result must have."""
        return math.prod(self.result_shape) * self.dtype.itemsize

    def may_be_infinite(self, slot: int, worker: str) -> bool:
        """Returns whether input or kernel are such that true results may be so."""
        return not self.bounded()

    def keep(self, slot: int, result: np.ndarray) -> None:
        """Takes no result: they are decoded together."""

    @property
    def program(self) -> Program:
        """What each worker computes."""
        return convolution_program(self.geometry, self.dtype.name)

    @property
    def kind(self) -> Hashable:
        """What workers' usual times for such jobs are remembered under."""
        return self.name, self.result_shape

    def check(self, reply: Reply, slot: int = 0) -> str | None:
        """Returns what is wrong with a worker's reply, or None."""
        return wrong_with(reply, self.result_shape, self.dtype, self.verify)


def wrong_with(
    reply: Reply, shape: tuple[int, ...], dtype: np.dtype[Any], verify: Verify
) -> str | None:
    """Returns what is wrong with a worker's reply, or None.

    Args:
        reply: The reply.
        shape: That its result must have.
        dtype: Likewise.
        verify: Whether the result must be finite, too.
    """
    array = reply.array
    if array is None:
        return reply.error or "no result"
    if array.shape != shape or array.dtype != dtype:
        return (
            f"result of shape {array.shape} and type {array.dtype} in place of "
            f"{shape} and {dtype}"
        )
    if verify != "off" and not all_finite(array):
        return NOT_FINITE
    return None
