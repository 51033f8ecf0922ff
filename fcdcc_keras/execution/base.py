"""What an executor does: hold kernel shares on n workers, and run coded layers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.codes.certificate import TYPICAL_TERMS
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.execution.finite import NOT_FINITE, all_finite
from fcdcc_keras.execution.operation import Convolution
from fcdcc_keras.execution.subtask import Reply
from fcdcc_keras.execution.tensors import Allocate
from fcdcc_keras.partition.micro_batches import NEAR, Way

Verify = Literal["off", "finite", "parity"]
VERIFY: tuple[Verify, ...] = ("off", "finite", "parity")

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
    convolution: Convolution
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
    def kind(self) -> Hashable:
        """What workers' usual times for such jobs are remembered under."""
        return self.name, self.result_shape

    def check(self, reply: Reply) -> str | None:
        """Returns what is wrong with a worker's reply, or None."""
        array = reply["array"]
        if array is None:
            return reply["error"] or "no result"
        if array.shape != self.result_shape or array.dtype != self.dtype:
            return (
                f"result of shape {array.shape} and type {array.dtype} in place of "
                f"{self.result_shape} and {self.dtype}"
            )
        if self.verify != "off" and not all_finite(array):
            return NOT_FINITE
        return None


class Executor(ABC):
    """Runs coded convolutions on n workers, numbered from 0 to n − 1."""

    @property
    @abstractmethod
    def addresses(self) -> tuple[str, ...]:
        """Address or name of each worker."""

    @property
    def workers(self) -> int:
        """n."""
        return len(self.addresses)

    def left(self, *, look: bool = False) -> int:
        """Returns how many workers there are: fewer than n where some have left.

        Args:
            look: Whether to ask the cluster first.
        """
        return self.workers

    @property
    def transport_name(self) -> str:
        """How subtasks reach the workers, as the trace names it."""
        return "in process"

    @property
    def way(self) -> Way:
        """How far the workers are."""
        return NEAR

    @abstractmethod
    def place(self, name: str, encode: Encode, *, wait: bool = False) -> Placement:
        """Gives every worker its share of a layer's coded kernels.

        Args:
            name: Name of the layer, for people.
            encode: Gives the shares of some workers:
                ``(len(workers), K_H, K_W, C, ℓ_B·⌈N/k_B⌉)``.
            wait: Whether to return only when the workers have them, or will not.

        Returns:
            The placement. A worker that is busy or lost may still lack its share;
            it is given it when it is free again.
        """

    @abstractmethod
    def run(self, job: Job) -> Collector:
        """Sends a layer's coded inputs and collects until they can be decoded.

        Returns:
            The collector; not complete where too few workers answered in time.
        """

    @abstractmethod
    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""

    @abstractmethod
    def close(self) -> None:
        """Frees everything that this executor holds on its workers."""
