"""What is told of every call of a coded layer, and what a model does in trouble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from fcdcc_keras.coding.job import Verify
from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.planning import check_tolerance
from fcdcc_keras.programs.exactness import plain_error

Fallback = Literal["local", "raise"]
FALLBACKS: tuple[Fallback, ...] = ("local", "raise")
Redundancy = Literal["eager", "hedged"]
REDUNDANCIES: tuple[Redundancy, ...] = ("eager", "hedged")


@dataclass(frozen=True)
class LayerRecord:
    """What happened to one micro-batch in one layer. Times in seconds."""

    layer: str
    """Path of the layer."""
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
    """Why the client computed the layer itself, or None: the workers did."""


@dataclass
class Policy:
    """What one distributed model does when things go wrong."""

    fallback: Fallback = "local"
    """Too few workers: "local" computes in the client, "raise" raises."""
    timeout: float = 60.0
    """Seconds for one layer before the fallback."""
    tolerance: float | None = None
    """Largest predicted relative error of a decoded layer; None: ``TOLERANCE``."""
    redundancy: Redundancy = "eager"
    """"eager" sends to all workers at once; "hedged" to as many as needed, and to the
    others when one is late."""
    verify: Verify = "finite"
    """How results are checked, beyond their shape and type."""
    listeners: list[Callable[[LayerRecord], None]] = field(default_factory=list)
    """Called with the record of every call of every layer."""
    warned: dict[str, object] = field(default_factory=dict)
    """What has been warned of: each is once."""

    def amplification_limit(self, dtype: str, terms: int) -> float:
        """Returns the largest α with which a layer may be decoded.

        Args:
            dtype: Type in which it is coded.
            terms: Products in the sum of one output, K_H·K_W·C.
        """
        return check_tolerance(self.tolerance, dtype) / plain_error(dtype, terms)
