"""CPU quotas by cgroups, of version 1 or 2, whichever holds the cpu controller.

Every device has a cgroup at the top of the hierarchy, so that it competes with
other programs as one of them. Their names begin with ``PREFIX`` and the lab's
name: the file system is the list of labs, which a crash cannot falsify.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fcdcc_keras.errors import ClusterError

PREFIX = "fcdcc-edge-lab-"
_PERIOD = 5_000
"""Microseconds. Shorter ones make a slow core look like a slow core, not like a fast
one with pauses."""
_LEAST_QUOTA = 1_000
"""Microseconds; the kernel refuses less."""


@dataclass(frozen=True)
class Controller:
    """Where the cpu controller is."""

    mount: Path
    """The hierarchy's root."""
    version: int
    """1 or 2."""

    def cgroup(self, name: str) -> Cgroup:
        """Returns the cgroup of that name, which need not exist."""
        return Cgroup(self.mount / name, self.version)

    def names(self) -> list[str]:
        """Returns the names of the labs' cgroups that exist."""
        return sorted(path.name for path in self.mount.glob(f"{PREFIX}*"))


def find_controller(mounts: Path = Path("/proc/self/mounts")) -> Controller:
    """Returns where the cpu controller is mounted.

    Raises:
        ClusterError: It is not.
    """
    rows = [line.split() for line in mounts.read_text().splitlines()]
    for _, where, kind, options, *_ in rows:
        if kind == "cgroup" and "cpu" in options.split(","):
            return Controller(Path(where), 1)
        if kind == "cgroup2":
            controllers = Path(where, "cgroup.controllers")
            if controllers.exists() and "cpu" in controllers.read_text().split():
                return Controller(Path(where), 2)
    raise ClusterError(
        "The lab slows its devices by the cgroup controller `cpu`, version 1 or 2. "
        f"Received: {mounts} without it. Mount it, or run where it is mounted."
    )


@dataclass(frozen=True)
class Cgroup:
    """One cgroup; the path is its directory."""

    path: Path
    version: int

    def create(self) -> None:
        """Makes the directory.

        Raises:
            ClusterError: It cannot be made there.
        """
        try:
            if self.version == 2:
                _write(self.path.parent / "cgroup.subtree_control", "+cpu")
            self.path.mkdir()
        except OSError as error:
            raise ClusterError(
                "The lab makes cgroups at the top of the hierarchy. Received: "
                f"{error}. In a container, give it a writable {self.path.parent} "
                "(`--privileged --cgroupns=host`), or run on the host."
            ) from error

    def remove(self, patience: float = 5.0) -> None:
        """Removes the directory, once its processes have gone.

        Args:
            patience: Seconds that they get for it.

        Raises:
            OSError: Some are there still.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                return self.path.rmdir()
            except FileNotFoundError:
                return None
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def join(self) -> None:
        """Moves the calling process here."""
        _write(self.path / "cgroup.procs", "0")

    def processes(self) -> list[int]:
        """Returns the ids of the processes here."""
        try:
            return [
                int(pid) for pid in (self.path / "cgroup.procs").read_text().split()
            ]
        except FileNotFoundError:
            return []

    def yield_to_others(self, yields: bool) -> None:
        """Sets whether it gets only the time that nobody else wants."""
        if (self.path / "cpu.idle").exists():  # from Linux 5.15 on
            _write(self.path / "cpu.idle", str(int(yields)))
        elif self.version == 2:
            _write(self.path / "cpu.weight", "1" if yields else "100")
        else:
            _write(self.path / "cpu.shares", "2" if yields else "1024")

    def hurry(self) -> None:
        """Lifts all limits, as far as possible: dying takes time, too."""
        with suppress(OSError, ClusterError):
            self.yield_to_others(False)
            self.set_quota(None)
            for pid in filter(None, self.processes()):
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))

    def set_quota(self, cpu: float | None) -> None:
        """Limits the time that the processes here get together.

        Args:
            cpu: Seconds of CPU time a second; None: no limit.

        Raises:
            ClusterError: The kernel did not take it.
        """
        period = _PERIOD if cpu is None else max(_PERIOD, math.ceil(_LEAST_QUOTA / cpu))
        quota = None if cpu is None else round(cpu * period)
        try:
            self._set_burst(0)
            if self.version == 2:
                _write(self.path / "cpu.max", f"{quota or 'max'} {period}")
            else:
                # Without a quota any period is allowed.
                _write(self.path / "cpu.cfs_quota_us", "-1")
                _write(self.path / "cpu.cfs_period_us", str(period))
                _write(self.path / "cpu.cfs_quota_us", str(quota or -1))
            # What a period leaves over is lost without a burst: a fifth where ticks
            # of 4 ms end within periods. A whole quota would do more for work with
            # pauses than for work without.
            self._set_burst((quota or 0) // 2)
            taken: object = self.quota()
        except OSError as error:
            taken = error
        if taken != (None if quota is None else quota / period):
            raise ClusterError(
                f"The kernel must take a quota of {quota} of {period} µs. Received: "
                f"{taken} from {self.path}. Give the devices another share of a core."
            )

    def _set_burst(self, microseconds: int) -> None:
        name = "cpu.max.burst" if self.version == 2 else "cpu.cfs_burst_us"
        if (self.path / name).exists():  # from Linux 5.14 on
            _write(self.path / name, str(microseconds))

    def quota(self) -> float | None:
        """Returns the quota in force, in seconds of CPU time a second; None: none."""
        if self.version == 2:
            quota, period = (self.path / "cpu.max").read_text().split()
        else:
            quota = (self.path / "cpu.cfs_quota_us").read_text().strip()
            period = (self.path / "cpu.cfs_period_us").read_text().strip()
        return None if quota in ("max", "-1") else int(quota) / int(period)


def _write(path: Path, text: str) -> None:
    # Unbuffered: Python's own files may report a refusal late, or to nobody.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
