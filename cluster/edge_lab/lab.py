"""The edge lab: weak devices on slow links, on one Linux machine."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from cluster.edge_lab.baseline import ProgramFailed, run_on
from cluster.edge_lab.device import Device
from cluster.edge_lab.isolation import is_isolated
from cluster.edge_lab.network import CLIENT, device_host
from cluster.edge_lab.protocol import OUTSIDE
from cluster.edge_lab.requirements import check_requirements
from cluster.edge_lab.settings import Settings
from cluster.edge_lab.supervisor import Supervisor
from cluster.edge_lab.workers import (
    scheduler_at,
    start_scheduler,
    wait_until_warm,
)
from fcdcc_keras.errors import ClusterError


@dataclass(frozen=True)
class EdgeLab:
    """A lab that is up."""

    settings: Settings
    name: str
    """As ``status`` shows it."""
    devices: tuple[Device, ...]
    client: Device | None = None
    """The client's, with ``client="device"``."""

    @property
    def scheduler_address(self) -> str:
        """Address of the Dask scheduler, from devices and from the calling process.

        Raises:
            ClusterError: The lab was made without workers.
        """
        if not self.settings.workers:
            raise ClusterError(
                "A lab of bare devices has no scheduler. Received: workers=False. "
                "Leave that out."
            )
        return _scheduler(self.settings)

    def device_at(self, address: str) -> Device:
        """Returns the device whose worker has an address.

        Raises:
            KeyError: None has.
        """
        for device in self.devices:
            if address == device.address:
                return device
        raise KeyError(address)

    def run_on_device(
        self,
        index: int,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        warm_up: bool = False,
        timeout: float | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on a device, beside its worker if it has one.

        Args:
            index: The device's.
            argv: Program and arguments.
            env: Its environment; default: a worker's.
            cwd: Its directory; default: this process's.
            warm_up: Whether it runs without quota until it calls
                ``cluster.edge_lab.warm()``.
            timeout: Seconds.
            check: Whether an exit code other than 0 is an error.

        Returns:
            Its exit code, what it printed as output, and as errors.

        Raises:
            ClusterError: There is no such program, or it ended without being warm.
            subprocess.CalledProcessError: It failed, and ``check`` is true; shows its
                exit status and what it said.
            subprocess.TimeoutExpired: It took longer; it is killed.
        """
        return _run(self.devices[index], argv, check, env, cwd, warm_up, timeout)

    def run_on_client(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        warm_up: bool = False,
        timeout: float | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the client's device; see ``run_on_device``.

        Raises:
            ClusterError: The client has no device; or as ``run_on_device``.
        """
        if self.client is None:
            raise ClusterError(
                "Only a client on a device can be given commands. Received: "
                f"client={self.settings.client!r}. Make the lab with client='device'."
            )
        return _run(self.client, argv, check, env, cwd, warm_up, timeout)


def _run(
    device: Device,
    argv: Sequence[str],
    check: bool,
    env: Mapping[str, str] | None,
    cwd: str | None,
    warm_up: bool,
    timeout: float | None,
) -> subprocess.CompletedProcess[str]:
    done = run_on(device, argv, env, cwd, warm_up=warm_up, timeout=timeout)
    if check and done.returncode:
        raise ProgramFailed(done.returncode, done.args, done.stdout, done.stderr)
    return done


@contextmanager
def edge_lab(
    devices: int = 6,
    cpu: float | None = 0.25,
    rate: str | None = "1gbit",
    latency: float = 0.0,
    *,
    pin_client: int | None = None,
    workers: bool = True,
    engine: str = "auto",
    client: str = "free",
) -> Iterator[EdgeLab]:
    """Brings up a lab for the duration of a ``with`` block.

    The calling process must be isolated: call ``isolate()`` first of all, or run the
    program by ``python -m cluster.edge_lab isolate -- PROGRAM``.

    Args:
        devices: See ``Settings``, as the others.
        cpu: Share of one core.
        rate: Bits a second, as "200mbit".
        latency: Seconds.
        pin_client: A core.
        workers: Whether Dask is there.
        engine: What the workers compute with: "light", "tensorflow", or "auto":
            the light one where it is installed.
        client: "free": the calling process is the client, with all the cores that
            there are and a link without limit; "device": programs are, that run on
            one more device like the others (``run_on_client``), the scheduler's too.

    Yields:
        The lab, its workers warm and under their quotas.

    Raises:
        ClusterError: It cannot be brought up here; nothing is left then.
    """
    settings = Settings(
        devices, cpu, rate, latency, pin_client, workers, engine, client
    )
    boards = settings.boards
    check_requirements()
    if not is_isolated():
        raise ClusterError(
            "A lab's user must not reach any other network. Received: a process with "
            "routes to others. Begin the program with `cluster.edge_lab.isolate()`, or "
            "start it by `python -m cluster.edge_lab isolate -- PROGRAM`."
        )
    if cpu is not None and boards * cpu > len(os.sched_getaffinity(0)):
        warnings.warn(
            f"{boards} devices of {cpu} cores each will not get them all at once, on "
            f"{len(os.sched_getaffinity(0))} cores.",
            RuntimeWarning,
            stacklevel=3,
        )
    supervisor = Supervisor(boards, boards > devices)
    try:
        address = _scheduler(settings)
        made = [
            Device(i, supervisor, cpu, rate, latency, engine, address)
            for i in range(boards)
        ]
        lab = EdgeLab(settings, supervisor.name, tuple(made[:devices]), *made[devices:])
        with _pinned(pin_client):
            if workers:
                _start_dask(supervisor, lab)
            for device in made:
                device.set_cpu(cpu)
            yield lab
    finally:
        supervisor.close()


def _scheduler_host(settings: Settings) -> str:
    return CLIENT if settings.client == "free" else device_host(settings.devices)


def _scheduler(settings: Settings) -> str:
    return scheduler_at(_scheduler_host(settings))


def _start_dask(supervisor: Supervisor, lab: EdgeLab) -> None:
    core = lab.settings.pin_client
    index = OUTSIDE if lab.client is None else lab.client.index
    host, cores = _scheduler_host(lab.settings), None if core is None else [core]
    start_scheduler(supervisor, index, host, cores)
    started = {device.host: device.start_worker() for device in lab.devices}
    addresses = wait_until_warm(lab.scheduler_address, started)
    for device in lab.devices:
        device.joined(addresses[device.host])


@contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Holds all threads of this process on a core, and those that they start."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    _hold({core})
    try:
        yield
    finally:
        _hold(before)


def _hold(cores: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread), cores)
