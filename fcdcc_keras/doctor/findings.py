"""What was found of a cluster: plain data, which says nothing of what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

How = Literal["open", "refused", "dropped", "no route", "unresolved"]
"""What comes of connecting to a port: "dropped": no answer, as behind a firewall."""


@dataclass(frozen=True)
class Touch:
    """What came of connecting to a port of a machine."""

    how: How
    seconds: float = 0.0
    """That it took."""
    said: str = ""
    """By the system, where it did not succeed."""


@dataclass(frozen=True)
class Software:
    """What one of them says that it runs."""

    python: str
    """As "3.11.7"."""
    packages: Mapping[str, str | None]
    """Versions of "dask", "distributed", "numpy", "fcdcc_keras"; None: not there."""
    engines: Mapping[str, str | None] = field(default_factory=dict)
    """Versions of "light" and "tensorflow"; empty: it was not asked."""
    machine: str = ""
    """Name of its machine."""
    available: float | None = None
    """Bytes of memory of its machine that are not in use."""

    @property
    def minor(self) -> str:
        """Python as "3.11": what another minor version compiled ends it."""
        return ".".join(self.python.split(".")[:2])


@dataclass(frozen=True)
class MeasuredWay:
    """A way that is there, by which Dask's own messages went and came back."""

    round_trip: float
    """Seconds."""
    bandwidth: float | None = None
    """Bytes per second, either way."""


@dataclass(frozen=True)
class Speed:
    """How long a worker took for small programs; see ``programs``."""

    engine: str
    call: float
    """Seconds of one that hardly computes anything."""
    pairs: tuple[tuple[float, float], ...]
    """Seconds of a shorter and a longer one of each kind."""


@dataclass(frozen=True)
class InUse:
    """Of a worker's process, in bytes."""

    used: float
    limit: float
    """0: any."""


Door = Literal[
    "scheduler",
    "no address",
    "no certificate",
    "refused",
    "dropped",
    "no route",
    "unresolved",
    "silent",
    "speaks TLS",
    "speaks no TLS",
    "unknown authority",
    "not admitted",
    "http",
    "other",
]
"""What is at the scheduler's address."""


@dataclass(frozen=True)
class SchedulerFound:
    """What is known of a scheduler."""

    door: Door
    said: str = ""
    """What came from there, where it is no scheduler's answer."""
    software: Software | None = None
    clock: float | None = None
    """Seconds that its clock is ahead of the client's."""
    doubt: float = 0.0
    """Seconds by which this may be wrong."""
    link: MeasuredWay | None = None
    ended_for_memory: Mapping[str, float] = field(default_factory=dict)
    """Bytes that workers had, by address, when their nannies ended them."""


@dataclass(frozen=True)
class WorkerFound:
    """What is known of a worker that its scheduler has."""

    address: str
    name: str
    host: str
    """As the scheduler sees it."""
    status: str = "running"
    memory: InUse = InUse(0.0, 0.0)
    threads: int = 1
    by_client: Touch | None = None
    """What came of the client's connecting to its address."""
    answers_client: bool = False
    by_scheduler: Touch | None = None
    """Likewise, of the scheduler's; None: the scheduler could not be asked."""
    answers_scheduler: bool = False
    to_scheduler: Touch | None = None
    """What came of its own connecting to the client's address of the scheduler."""
    software: Software | None = None
    clock: float | None = None
    doubt: float = 0.0
    link: MeasuredWay | None = None
    speed: Speed | None = None
    ailing: str = ""
    """What it said instead of convolving."""
    late: float = 0.0
    """Seconds within which it had not convolved; 0: it was not so."""
    to_workers: Mapping[str, Touch] = field(default_factory=dict)
    """What came of its connecting to others, by their addresses."""
    halo: float | None = None
    """Seconds from chain to chain in which it exchanged halos with others."""
    unexchanged: str = ""
    """What it said instead of exchanging halos."""

    @property
    def answers(self) -> bool:
        """Whether it can be asked by any way."""
        return self.answers_client or self.answers_scheduler

    @property
    def is_able(self) -> bool:
        """Whether a model can be planned over it: all that was measured."""
        return self.speed is not None and self.status == "running"


@dataclass(frozen=True)
class Expected:
    """A worker or a machine that is to have one, as the user named it."""

    name: str
    addresses: tuple[str, ...] = ()
    """That a host of this name has; (): it may be a worker's name."""
    machine: Touch | None = None
    """What came of connecting to such a host: even one that refuses is up."""

    def is_met_by(self, worker: WorkerFound) -> bool:
        """Returns whether a worker is the one, or one of this machine."""
        software = worker.software
        known = {worker.name, worker.address, worker.host, host_of(worker.address)}
        known.add(worker.address.partition("://")[2])
        known.add("" if software is None else software.machine)
        return self.name in known or not known.isdisjoint(self.addresses)


@dataclass(frozen=True)
class Findings:
    """All that was found."""

    address: str
    """Of the scheduler, as the user gave it."""
    client: Software
    """Of this process; its engines have "keras", too."""
    scheduler: SchedulerFound
    least: Mapping[str, str] = field(default_factory=dict)
    """Versions of "light" and "tensorflow" that are needed at least."""
    workers: tuple[WorkerFound, ...] = ()
    expected: tuple[Expected, ...] = ()
    together: float | None = None
    """Bytes per second between the client and all its workers together."""
    round_trips: float | None = None
    """Seconds until all workers have answered at once."""


def host_of(address: str) -> str:
    """Returns the host of a Dask address; "" where it has none."""
    return _parts(address)[0]


def port_of(address: str) -> int:
    """Returns the port of a Dask address; 0 where it has none."""
    return _parts(address)[1]


def is_loopback(address: str) -> bool:
    """Returns whether only the same machine reaches an address."""
    host = host_of(address)
    return host in ("localhost", "::1") or host.startswith("127.")


def _parts(address: str) -> tuple[str, int]:
    try:
        return str(ip_address(address)), 0
    except ValueError:
        pass
    try:
        found = urlsplit(address if "://" in address else f"tcp://{address}")
        return found.hostname or "", found.port or 0
    except ValueError:
        return "", 0
