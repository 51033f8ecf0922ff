"""What is told of every call of a coded layer, and what a model does in trouble."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, get_args

from fcdcc_keras.checks import check_choice, is_number
from fcdcc_keras.coding.job import Verify
from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning import check_tolerance
from fcdcc_keras.planning.objective import TIMEOUT
from fcdcc_keras.programs.exactness import plain_error

Fallback = Literal["local", "raise"]


@dataclass(frozen=True)
class LayerRecord:
    """What happened to one micro-batch in one layer, or chain. Times in seconds."""

    layer: str
    """Path of the layer; of a chain those of its first and last."""
    call: int
    """Number of the layer's call; the micro-batches of one call have it in common."""
    started: float
    """Seconds since the epoch."""
    encode: float = 0.0
    """Splitting and encoding the input."""
    collect: float = 0.0
    """From sending to the last answer needed, encoding excluded."""
    decode: float = 0.0
    """Decoding and merging."""
    convolve: float = 0.0
    """The client's own convolution, where it computed the layer itself."""
    survivors: tuple[int, ...] = ()
    """Workers whose answers were decoded."""
    subtasks: tuple[SubtaskRecord, ...] = ()
    transport: str = ""
    """How subtasks reached the workers: "direct", "tasks", "in process", or "direct,
    tasks" where some cannot be reached directly any more."""
    too_few: int | None = None
    """Workers that were left, where a layer needs more: each has several shares, and
    there is no redundancy."""
    local: str | None = None
    """Why the client had to compute the layer itself, or None."""
    client: bool = False
    """Whether the plan has the client compute it."""


@dataclass(frozen=True)
class UnderWay:
    """A micro-batch that workers are at, as it was at a moment. Times in seconds."""

    layer: str
    """As ``LayerRecord`` has it."""
    at: float
    """The moment, since the epoch."""
    subtasks: tuple[SubtaskRecord, ...]
    """Those that were sent; "late" are all that have not been answered."""


next_call = count().__next__
"""Returns the number of the next call of a layer, or of layers."""


@dataclass(frozen=True)
class Policy:
    """What one distributed model does when things go wrong; see ``fk.distribute``."""

    fallback: Fallback = "local"
    timeout: float = TIMEOUT
    tolerance: float | None = None
    verify: Verify = "finite"
    sparse: bool = False
    """Whether zeros are left out of what is sent, where they are many."""

    def __post_init__(self) -> None:
        check_choice("fallback", self.fallback, get_args(Fallback))
        check_choice("verify", self.verify, get_args(Verify))
        check_tolerance(self.tolerance, "float32")
        if not is_number(self.timeout, least=math.ulp(0.0)):
            raise PlanError(
                "`timeout` must be a positive number of seconds. Received: "
                f"timeout={self.timeout!r}. Give for example 60."
            )

    def amplification_limit(self, dtype: str, terms: int) -> float:
        """Returns the largest α with which a layer may be decoded.

        Args:
            dtype: Type in which it is coded.
            terms: Products in the sum of one output, K_H·K_W·C.
        """
        return check_tolerance(self.tolerance, dtype) / plain_error(dtype, terms)


@dataclass
class Notes:
    """What is noted while one distributed model runs."""

    listeners: list[Callable[[LayerRecord], None]] = field(default_factory=list)
    """Called with the record of every call of every layer."""
    warned: dict[str, object] = field(default_factory=dict)
    """What has been warned of: each is once."""
