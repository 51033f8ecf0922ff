"""One weak device of a lab, and what can happen to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from cluster.edge_lab.cgroups import Cgroup
from cluster.edge_lab.network import Link, device_host
from cluster.edge_lab.process import DeviceProcess
from cluster.edge_lab.supervisor import Supervisor
from cluster.edge_lab.workers import start_worker, wait_until_warm
from fcdcc_keras.errors import ClusterError


class Device:
    """A network namespace, a link and a CPU quota, with a worker or a client in them.

    Made by the lab.
    """

    def __init__(
        self,
        index: int,
        supervisor: Supervisor,
        cpu: float | None,
        rate: str | None,
        latency: float,
        engine: str,
        scheduler: str,
    ) -> None:
        self.index = index
        self.host = device_host(index)
        """IP address."""
        self.cpu = cpu
        """Its share of a core as the lab was made; None: no quota."""
        self.worker: DeviceProcess | None = None
        """Its worker, if it has one."""
        self._address: str | None = None
        self._supervisor = supervisor
        self._latency = latency
        self._engine = engine
        self._scheduler = scheduler
        self.set_rate(rate)

    def __repr__(self) -> str:
        return f"Device({self.index}, host={self.host!r}, cpu={self.quota})"

    @property
    def address(self) -> str:
        """The worker's address, as Dask has it; a new one after each restart.

        Raises:
            ClusterError: The device has no worker.
        """
        if self._address is None:
            raise ClusterError(
                "Only a device with a worker has an address. Received: device "
                f"{self.index}, which has none. Use `host`, or workers=True."
            )
        return self._address

    @property
    def cgroup(self) -> Cgroup:
        """Where its processes are."""
        return self._supervisor.cgroups[self.index]

    @property
    def quota(self) -> float | None:
        """The quota in force, in seconds of CPU time a second; None: none."""
        return self.cgroup.quota()

    def start(self, argv: Sequence[str], **options: object) -> DeviceProcess:
        """Starts a process on the device; options as of ``Supervisor.start``.

        Raises:
            ClusterError: There is no such program.
        """
        return self._supervisor.start(self.index, argv, **options)  # type: ignore[arg-type]

    def stop(self) -> None:
        """Stops all its processes, as a device that hangs: its kernel acknowledges."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets stopped processes go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kills all its processes, as a device that loses power."""
        self._signal(signal.SIGKILL)

    def restart(self) -> None:
        """Starts its worker anew; returns when it has joined and is warm.

        Raises:
            ClusterError: It did not come up, for example since its link is down.
        """
        self.kill()
        if self.worker is not None:
            self.worker.close()
        with self.at_full_speed():
            worker = self.start_worker()
            gone = () if self._address is None else (self._address,)
            found = wait_until_warm(self._scheduler, {self.host: worker}, gone)
            self.joined(found[self.host])

    def start_worker(self) -> DeviceProcess:
        """Starts its worker, without waiting for it."""
        self.worker = start_worker(
            self._supervisor, self.index, self._scheduler, self._engine
        )
        return self.worker

    def joined(self, address: str) -> None:
        """Takes note of the worker's address."""
        self._address = address

    def slow(self, factor: float) -> None:
        """Divides the quota that the device was made with; 1 restores it.

        Raises:
            ClusterError: It has none, or the kernel does not take the new one.
        """
        if self.cpu is None or factor <= 0:
            raise ClusterError(
                "Only a quota can be divided, by a positive factor. Received: "
                f"cpu={self.cpu}, factor={factor}. Make the lab with a quota, or "
                "use `set_cpu`."
            )
        self.set_cpu(self.cpu / factor)

    def set_cpu(self, cpu: float | None) -> None:
        """Sets the quota.

        Args:
            cpu: Seconds of CPU time a second; None: no limit.

        Raises:
            ClusterError: The kernel does not take it.
        """
        self.cgroup.set_quota(cpu)

    @contextmanager
    def at_full_speed(self) -> Iterator[None]:
        """Lifts the quota for a while, as for warming up."""
        quota = self.quota
        self.set_cpu(None)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):  # the lab has ended meanwhile
                self.set_cpu(quota)

    def link(self, up: bool) -> None:
        """Plugs its network cable in, or pulls it out."""
        self._link.set_up(up)

    def set_rate(self, rate: str | None) -> None:
        """Limits its link, each way.

        Args:
            rate: Bits a second, as "200mbit"; None: no limit.

        Raises:
            ClusterError: Malformed.
        """
        self._link.set_rate(rate, self._latency)

    @property
    def _link(self) -> Link:
        return self._supervisor.links[self.index]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.cgroup.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
