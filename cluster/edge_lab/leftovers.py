"""Which labs there are on this machine, and removing what is left of dead ones."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.edge_lab.cgroups import PREFIX, Cgroup, find_controller
from cluster.edge_lab.marks import kill_marked
from fcdcc_keras.errors import ClusterError


@dataclass(frozen=True)
class Found:
    """A lab that was found, alive or dead."""

    name: str
    """Its keeper's process id."""
    cgroups: tuple[Cgroup, ...]
    """Of its devices, in order."""
    client: Cgroup | None
    """Of the client's device, if it is on one."""
    idle: tuple[Cgroup, ...]
    """Of its spinners."""

    @property
    def alive(self) -> bool:
        """Whether its keeper runs."""
        try:
            words = Path("/proc", self.name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"cluster.edge_lab.keeper" in words

    @property
    def all_cgroups(self) -> tuple[Cgroup, ...]:
        """Those of its devices, the client's, and the spinners'."""
        return (*self.cgroups, *filter(None, [self.client]), *self.idle)

    @property
    def network(self) -> str:
        """Path of the client's network namespace.

        Raises:
            ClusterError: The scheduler on the client's device has ended.
        """
        if self.client is None:
            return f"/proc/{self.name}/ns/net"
        there = self.client.processes()
        if not there:
            raise ClusterError(
                "A client on a device is beside the scheduler. Received: lab "
                f"{self.name}, without a process there. Bring up another."
            )
        return f"/proc/{there[0]}/ns/net"


def find_labs() -> list[Found]:
    """Returns the labs on this machine, dead ones too, oldest name first.

    Raises:
        ClusterError: There is no controller that labs could use.
    """
    controller = find_controller()
    labs: dict[str, dict[str, Cgroup]] = {}
    for directory in controller.names():
        name, _, part = directory.removeprefix(PREFIX).rpartition("-")
        labs.setdefault(name, {})[part] = controller.cgroup(directory)
    return [
        Found(
            name,
            tuple(parts[i] for i in sorted(filter(str.isdecimal, parts), key=int)),
            parts.pop("client", None),
            tuple(cgroup for part, cgroup in parts.items() if not part.isdecimal()),
        )
        for name, parts in sorted(labs.items())
    ]


def the_lab(name: str | None) -> Found:
    """Returns the living lab of that name, or the only one.

    Raises:
        ClusterError: There is none, or more than one.
    """
    alive = [lab for lab in find_labs() if lab.alive]
    chosen = [lab for lab in alive if name in (None, lab.name)]
    if len(chosen) != 1:
        names = ", ".join(lab.name for lab in alive) or "none"
        raise ClusterError(
            f"One lab must be meant. Received: lab={name}, while those that are up "
            f"are: {names}. Name one of them, or bring one up."
        )
    return chosen[0]


def remove_leftovers() -> list[str]:
    """Ends what is left of labs whose keeper was killed.

    Returns:
        Their names.

    Raises:
        ClusterError: Something cannot be removed.
    """
    removed = []
    for lab in find_labs():
        if lab.alive:
            continue
        kill_marked(lab.name)
        for cgroup in lab.all_cgroups:
            _empty(cgroup)
            try:
                cgroup.remove()
            except OSError as error:
                raise ClusterError(
                    "The cgroups of a dead lab must go. Received: "
                    f"{error}, with the processes {cgroup.processes()}. End them."
                ) from error
        removed.append(lab.name)
    return removed


def _empty(cgroup: Cgroup) -> None:
    cgroup.hurry()
    for pid in cgroup.processes():
        if pid > 0:  # 0 is one of another process namespace
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
