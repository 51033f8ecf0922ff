"""The lab's side of its keeper: starting it and asking it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.edge_lab.cgroups import Cgroup
from cluster.edge_lab.isolation import no_such_program, with_packages
from cluster.edge_lab.leftovers import remove_leftovers
from cluster.edge_lab.network import Link, remove_bridge
from cluster.edge_lab.process import DeviceProcess, Streams
from cluster.edge_lab.protocol import MARK, MOST_BYTES, SCRATCH
from fcdcc_keras.errors import ClusterError

_PATIENCE = 30.0
"""Seconds that the keeper gets to take everything down."""


class Supervisor:
    """A keeper that runs, with what it has made.

    Args:
        devices: Number of devices.
        client: Whether the last of them is the client's.

    Raises:
        ClusterError: Something cannot be made here; nothing is left then.
    """

    def __init__(self, devices: int, client: bool = False) -> None:
        remove_leftovers()
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
        self._channel = ours
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, "-m", "cluster.edge_lab.keeper"),
                *(str(theirs.fileno()), str(os.getpid()), str(devices)),
                str(int(client)),
            ],
            env=with_packages(dict(os.environ)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for the lab, which then ends it
        )
        theirs.close()
        self.name = ""
        self._asked = 0
        try:
            made = self._hear()
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            raise ClusterError(
                "Linux must let the lab make namespaces, mounts and cgroups. "
                f"Received: {error}. Run it where that is allowed."
            ) from error
        self.name = made["name"]
        self.links = [Link(i, path) for i, path in enumerate(made["links"])]
        paths = map(Path, made["cgroups"][:devices])
        self.cgroups = [Cgroup(path, made["version"]) for path in paths]

    def start(
        self,
        index: int,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        cores: Iterable[int] | None = None,
        pipes: bool = False,
    ) -> DeviceProcess:
        """Starts a process on a device, or outside of all.

        Args:
            index: The device's, or ``OUTSIDE``.
            argv: Program and arguments.
            env: Its environment; default: this process's.
            cwd: Its directory; default: this process's.
            cores: The cores that it may use; default: all.
            pipes: Whether to talk with it; else it reads nothing, and its output
                goes where its errors go, into its log.

        Raises:
            ClusterError: There is no such program, or the lab has gone.
        """
        environment = {
            **with_packages(dict(os.environ if env is None else env)),
            "TMPDIR": SCRATCH,
            "DASK_TEMPORARY_DIRECTORY": SCRATCH,
            MARK: self.name,
        }
        request = {
            "do": "spawn",
            "index": index,
            "argv": list(argv),
            "env": environment,
            "cwd": cwd or os.getcwd(),
            "cores": None if cores is None else sorted(cores),
        }
        streams = Streams.with_pipes() if pipes else Streams.with_log()
        try:
            pid = self._ask(request, streams.theirs)
        except BaseException as error:
            streams.close()
            if not isinstance(error, OSError):
                raise
            raise no_such_program(list(argv), error) from error
        finally:
            streams.close_theirs()
        return DeviceProcess(self.poll, pid, list(argv), streams)

    def poll(self, pid: int) -> int | None:
        """Returns what a process ended with; None while it runs."""
        value: int | None = self._ask({"do": "poll", "pid": pid})
        return value

    def close(self) -> None:
        """Takes the lab down; safe to call twice."""
        self._channel.close()
        try:
            self._keeper.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        if self._keeper.returncode != 0:  # somebody has killed it
            if self.name:
                remove_bridge()
            remove_leftovers()

    def _ask(self, request: dict[str, Any], streams: Sequence[int] = ()) -> Any:
        with self._lock:
            try:
                self._asked += 1
                message = json.dumps({**request, "number": self._asked}).encode()
                socket.send_fds(self._channel, [message], streams)
            except OSError as error:
                raise _gone(str(error)) from error
            return self._hear()

    def _hear(self) -> Any:
        said: dict[str, Any] = {}
        while said.get("to") != self._asked:  # Ctrl-C may have left an answer unread
            try:
                answer = self._channel.recv(MOST_BYTES)
            except OSError as error:
                raise _gone(str(error)) from error
            if not answer:
                raise _gone("a keeper that has ended")
            said = json.loads(answer)
        if "error" not in said:
            return said["value"]
        if said["ours"]:
            raise ClusterError(said["error"])
        raise OSError(said["errno"], said["error"])


def _gone(received: str) -> ClusterError:
    return ClusterError(
        f"The lab must be up. Received: {received}. Bring it up again; what its keeper "
        "said as errors tells why."
    )
