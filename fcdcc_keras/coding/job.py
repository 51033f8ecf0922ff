"""One coded convolution to run: what workers get, and what they must answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.coding.finite import NOT_FINITE, all_finite
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program
from fcdcc_keras.programs import Program
from fcdcc_keras.programs.exactness import TYPICAL_TERMS
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.tensors import Allocate

Verify = Literal["off", "finite", "parity"]

Encode = Callable[[Sequence[int]], np.ndarray]
"""Gives what some workers get, coded: shape ``(len(workers), …)``."""


class EncodeInputs(Protocol):
    """Gives the coded inputs of some workers: ``(len(workers), ℓ_A·B, Ĥ, W, C)``."""

    def __call__(self, workers: Sequence[int], allocate: Allocate = ...) -> np.ndarray:
        """Encodes; into memory that ``allocate`` gives, if it gives any."""


class Placement:
    """The kernel shares of one layer on the workers of one executor."""

    def __init__(self, name: str, encode: Encode) -> None:
        self.name = name
        """Name of the layer, for people."""
        self.encode = encode
        """Gives the shares of some workers, to place them, or place them again."""
        self.users = 0
        """Layers under way that use the shares."""
        self.held: dict[int, Any] = {}
        """What stands for a worker's share, for each worker that has it."""


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

    @property
    def program(self) -> Program:
        """What each worker computes."""
        return convolution_program(self.geometry, self.dtype.name)

    @property
    def kind(self) -> Hashable:
        """What workers' usual times for such jobs are remembered under."""
        return self.name, self.result_shape

    def check(self, reply: Reply) -> str | None:
        """Returns what is wrong with a worker's reply, or None."""
        array = reply.array
        if array is None:
            return reply.error or "no result"
        if array.shape != self.result_shape or array.dtype != self.dtype:
            return (
                f"result of shape {array.shape} and type {array.dtype} in place of "
                f"{self.result_shape} and {self.dtype}"
            )
        if self.verify != "off" and not all_finite(array):
            return NOT_FINITE
        return None
