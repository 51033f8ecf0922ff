"""What stretches are planned by. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.planning.objective import By
from fcdcc_keras.planning.stragglers import NoStraggling, Straggling

_CROSSING = 2e-4
"""Seconds from Keras into a chain and back again."""
_OPERATIONS_OF_CROSSING = 3
"""The same, in operations of Keras."""


@dataclass(frozen=True)
class Terms:
    """What stretches are planned by."""

    calibration: Calibration
    workers: int
    """n."""
    stragglers: int = 0
    """γ."""
    straggling: Straggling = field(default_factory=NoStraggling)
    hedged: bool | None = True
    """None: whichever is better."""
    by: By = "latency"

    @property
    def speeds(self) -> tuple[float, ...]:
        """Of the workers."""
        return self.calibration.speeds_of(self.workers)

    @property
    def rates(self) -> Rates:
        """What tiles are planned by."""
        return Rates.of(self.calibration)

    @property
    def crossing(self) -> float:
        """Seconds from Keras into a stretch and back again."""
        own = self.calibration.client_operation
        return _CROSSING + _OPERATIONS_OF_CROSSING * own
