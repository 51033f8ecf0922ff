"""What kind of lab to bring up."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cluster.edge_lab.network import MOST_DEVICES, check_rate
from fcdcc_keras.errors import ClusterError


@dataclass(frozen=True)
class Settings:
    """What kind of lab to bring up."""

    devices: int = 6
    """How many."""
    cpu: float | None = 0.25
    """Share of one core that a device gets; None: as much as there is."""
    rate: str | None = "1gbit"
    """Bits a second that each link carries each way, with kbit, mbit or gbit; None:
    as many as the machine manages."""
    latency: float = 0.0
    """Seconds that each packet takes besides, each way; needs netem in the kernel."""
    pin_client: int | None = None
    """Core that client and scheduler are held on, as on a machine of one core; None:
    they use all."""
    workers: bool = True
    """Whether there are a scheduler and workers, or bare devices."""
    engine: str = "auto"
    """What the workers compute with, as of ``fcdcc-keras worker``."""
    client: str = "free"
    """Where client and scheduler are: "free", with this machine's cores and a link
    without limit; or "device": they share one more device like the others."""

    def __post_init__(self) -> None:
        """Checks them.

        Raises:
            ClusterError: No lab can be of that kind.
        """
        cores = os.cpu_count() or 1
        allowed = os.sched_getaffinity(0)
        check_rate(self.rate)
        self._check(
            1 <= self.devices <= MOST_DEVICES, f"1 to {MOST_DEVICES}", "devices"
        )
        self._check(
            self.cpu is None or 0.01 <= self.cpu <= cores, f"0.01 to {cores}", "cpu"
        )
        self._check(0 <= self.latency <= 10, "0 to 10 (seconds)", "latency")
        self._check(
            self.pin_client is None or self.pin_client in allowed,
            f"one of the cores {sorted(allowed)}",
            "pin_client",
        )
        engines = ("auto", "light", "tensorflow")
        self._check(self.engine in engines, f"one of {engines}", "engine")
        clients = ("free", "device")
        self._check(self.client in clients, f"one of {clients}", "client")
        self._check(
            self.client == "free" or self.pin_client is None,
            "None where the client is on a device, which has its share of a core",
            "pin_client",
        )

    @property
    def boards(self) -> int:
        """Number of devices, the client's included."""
        return self.devices + (self.client == "device")

    def _check(self, holds: bool, rule: str, name: str) -> None:
        if not holds:
            raise ClusterError(
                f"`{name}` must be {rule}. Received: {name}={getattr(self, name)!r}. "
                "Choose one that this machine has room for."
            )
