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
from typing import IO, Any

from cluster.edge_lab.cgroups import Cgroup
from cluster.edge_lab.isolation import no_such_program, with_packages
from cluster.edge_lab.leftovers import remove_leftovers
from cluster.edge_lab.network import Link
from cluster.edge_lab.process import DeviceProcess
from cluster.edge_lab.protocol import MARK, MOST_BYTES, SCRATCH
from fcdcc_keras.errors import ClusterError

_PATIENCE = 30.0
"""Seconds that the keeper gets to take everything down."""


class Supervisor:
    """A keeper that runs, with what it has made.

    Args:
        devices: Number of devices.

    Raises:
        ClusterError: Something cannot be made here; nothing is left then.
    """

    def __init__(self, devices: int) -> None:
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
            ],
            env=with_packages(dict(os.environ)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for the lab, which then ends it
        )
        theirs.close()
        try:
            made = self._hear()
        except BaseException:
            self.close()
            raise
        self.name: str = made["name"]
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
        """Starts a process on a device, or on the client's side.

        Args:
            index: The device's, or ``CLIENT_SIDE``.
            argv: Program and arguments.
            env: Its environment; default: this process's.
            cwd: Its directory; default: this process's.
            cores: The cores that it may use; default: all.
            pipes: Whether to talk with it; else it reads nothing, and what it
                writes goes where this process's errors go.

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
        stdin: IO[str] | None = None
        stdout: IO[str] | None = None
        if pipes:
            their_in, our_out = os.pipe()
            our_in, their_out = os.pipe()
            stdin, stdout = os.fdopen(our_out, "w"), os.fdopen(our_in)
        else:
            their_in = os.open(os.devnull, os.O_RDONLY)
            their_out = os.dup(2)
        try:
            pid = self._ask(request, [their_in, their_out, 2])
        except OSError as error:
            for stream in filter(None, (stdin, stdout)):
                stream.close()
            raise no_such_program(list(argv), error) from error
        finally:
            os.close(their_in)
            os.close(their_out)
        return DeviceProcess(self.poll, pid, list(argv), stdin, stdout)

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
        remove_leftovers()

    def _ask(self, request: dict[str, Any], streams: Sequence[int] = ()) -> Any:
        with self._lock:
            try:
                message = json.dumps(request).encode()
                socket.send_fds(self._channel, [message], streams)
            except OSError as error:
                raise _gone(str(error)) from error
            return self._hear()

    def _hear(self) -> Any:
        answer = self._channel.recv(MOST_BYTES)
        if not answer:
            raise _gone("a keeper that has ended")
        said = json.loads(answer)
        if "error" not in said:
            return said["value"]
        if said["ours"]:
            raise ClusterError(said["error"])
        raise OSError(said["error"])


def _gone(received: str) -> ClusterError:
    return ClusterError(
        f"The lab must be up. Received: {received}. Bring it up again; what its keeper "
        "said stands above."
    )
