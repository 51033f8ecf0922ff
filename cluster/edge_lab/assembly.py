"""What a lab is made of: namespaces, links, cgroups and the processes in them.

Namespaces have no names, and vanish with the last process in them. The devices'
processes are in one process namespace, whose first process lives on a pipe from the
keeper: should that be killed, the kernel kills them all. Only empty cgroups can
outlive it, which the next lab removes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cluster.edge_lab.cgroups import PREFIX, Cgroup, find_controller
from cluster.edge_lab.marks import kill_marked
from cluster.edge_lab.network import Link, create_bridge, remove_bridge
from cluster.edge_lab.protocol import OUTSIDE, SCRATCH
from cluster.edge_lab.syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_PRIVATE,
    MS_REC,
    mount,
    setns,
    unshare,
)

_SPIN = [sys.executable, "-I", "-S", "-c", "while True: pass"]


@dataclass
class Assembly:
    """A lab's parts, as the keeper holds them."""

    name: str
    """The lab's; its processes have it in their environment."""
    cgroups: list[Cgroup] = field(default_factory=list)
    """Of the devices, the client's last; then one more, for the spinners."""
    links: list[Link] = field(default_factory=list)
    """Of the devices."""
    _has_bridge: bool = False
    _networks: list[int] = field(default_factory=list)
    _mounts: int = -1
    _processes: int = -1
    _first: int = -1
    _lifeline: int = -1
    _children: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def set_up(self, devices: int, client: bool) -> None:
        """Makes namespaces, links and cgroups, and starts the spinners.

        Args:
            devices: How many.
            client: Whether the last of them is the client's.

        Raises:
            ClusterError: One of them cannot be made.
            OSError: Likewise.
        """
        create_bridge()
        self._has_bridge = True
        self._make_networks(devices)
        self._start_first_process()
        controller = find_controller()
        names = [*map(str, range(devices - client)), *(["client"] if client else [])]
        for name in [*names, "idle"]:
            cgroup = controller.cgroup(f"{PREFIX}{self.name}-{name}")
            cgroup.create()
            self.cgroups.append(cgroup)
        # A core that never sleeps accounts for quotas in time.
        for core in sorted(os.sched_getaffinity(0)):
            pid = self._start(_SPIN, self.cgroups[-1], cores=[core])
            # Not sooner: on a busy machine it would take seconds to get that far.
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        self.cgroups[-1].yield_to_others(True)

    def _make_networks(self, devices: int) -> None:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        for i in range(devices):
            unshare(CLONE_NEWNET)
            network = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            setns(here, CLONE_NEWNET)
            self._networks.append(network)
            self.links.append(Link(i, f"/proc/{os.getpid()}/fd/{network}"))
            self.links[-1].create()
        os.close(here)

    def _start_first_process(self) -> None:
        self._processes = os.open("/proc/self/ns/pid", os.O_RDONLY)
        unshare(CLONE_NEWPID)
        lifeline, self._lifeline = os.pipe()
        ready, report = os.pipe()
        self._first = os.fork()
        if self._first == 0:
            _first_process(self._lifeline, lifeline, report)
        os.close(lifeline)
        os.close(report)
        said = os.read(ready, 1000)
        os.close(ready)
        if said != b"ready":
            raise OSError(said.decode())
        self._mounts = os.open(f"/proc/{self._first}/ns/mnt", os.O_RDONLY)

    def spawn(self, request: dict[str, Any], streams: list[int]) -> int:
        """Starts a process on a device, or outside of all.

        Args:
            request: ``index``, ``argv``, ``env``, ``cwd``, ``cores`` (a list or None).
            streams: Its standard input, output and error.

        Returns:
            Its id.

        Raises:
            OSError: There is no such program.
        """
        index = request["index"]
        on_device = index != OUTSIDE
        return self._start(
            request["argv"],
            self.cgroups[index] if on_device else None,
            network=self._networks[index] if on_device else None,
            cores=request["cores"],
            cwd=request["cwd"],
            env=request["env"],
            streams=streams,
        )

    def _start(
        self,
        argv: list[str],
        cgroup: Cgroup | None,
        *,
        network: int | None = None,
        cores: list[int] | None = None,
        cwd: str = "/",
        env: dict[str, str] | None = None,
        streams: list[int] | None = None,
    ) -> int:
        def enter() -> None:
            if cgroup is not None:
                cgroup.join()
            if network is not None:
                setns(network, CLONE_NEWNET)
            setns(self._mounts, CLONE_NEWNS)
            os.chdir(cwd)  # entering mounts went to their root
            if cores is not None:
                os.sched_setaffinity(0, cores)

        stdin, stdout, stderr = streams or (None, None, None)
        child = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            preexec_fn=enter,
            start_new_session=True,
        )
        self._children[child.pid] = child
        return child.pid

    def poll(self, pid: int) -> int | None:
        """Returns what a process ended with; None while it runs."""
        return self._children[pid].poll()

    def take_down(self) -> None:
        """Ends every process of the lab and removes what was made."""
        for cgroup in self.cgroups:
            cgroup.hurry()
        if self._first > 0:
            with suppress(ProcessLookupError):
                os.kill(self._first, signal.SIGKILL)
            # The kernel kills the others; the first waits until they are buried.
            with suppress(ChildProcessError):
                while True:
                    os.wait()
            setns(self._processes, CLONE_NEWPID)  # no more can start in that one
        kill_marked(self.name)
        if self._has_bridge:
            remove_bridge()
        for cgroup in self.cgroups:
            with suppress(OSError):  # the next lab tries again
                cgroup.remove()


def _first_process(others_end: int, lifeline: int, report: int) -> None:
    """Is the first process of the process namespace; never returns."""
    try:
        os.close(others_end)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans need no burial
        unshare(CLONE_NEWNS)
        mount("none", "/", "none", MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc")
        mount("tmpfs", SCRATCH, "tmpfs")
        os.write(report, b"ready")
        os.close(report)
        os.read(lifeline, 1)
    except OSError as error:
        os.write(report, str(error).encode())
    finally:
        os._exit(0)
