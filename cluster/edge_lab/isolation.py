"""A network namespace from which nothing leads out, and how to get into one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from cluster.edge_lab.network import BRIDGE, DEVICE_END
from cluster.edge_lab.requirements import check_requirements
from cluster.edge_lab.syscalls import CLONE_NEWNET, setns, unshare
from fcdcc_keras.errors import ClusterError

ROOT = Path(__file__).parents[2]
"""The clone's top, from where both packages are imported."""
_NAMESPACE = "EDGE_LAB_NAMESPACE"
"""Environment variable with the namespace that a process was put into."""


def is_isolated() -> bool:
    """Says whether no packet of the calling thread can leave this machine.

    That is so in a namespace that was made for it here, as its environment tells,
    where no route leads anywhere but to itself or into a lab, or it is a device's.
    """
    if os.environ.get(_NAMESPACE, "") != _namespace():
        return False  # a machine without routes may get some any moment
    ours = rf"lo|{BRIDGE}\d*|{DEVICE_END}"
    return all(re.fullmatch(ours, name) for name in _routed_interfaces())


def isolate() -> None:
    """Runs the current program anew, with no network but that of its labs.

    To be called first of all: does nothing in the program that was started anew.
    Children inherit the isolation. It ends with the last process that has it.

    Raises:
        ClusterError: It cannot be done here.
    """
    if is_isolated():
        return
    _, *arguments = sys.orig_argv
    if not arguments or arguments[-1] == "-":
        raise ClusterError(
            "Only a program that was started from a file, a module or `-c` can be "
            "started again. Received: one that is typed in. Run it with `python -m "
            "cluster.edge_lab isolate -- python`."
        )
    become_isolated([sys.executable, *arguments])


def become_isolated(command: list[str]) -> NoReturn:
    """Replaces this process by a command in a network namespace of its own.

    Args:
        command: Program and arguments; a Python script may stand for itself.

    Raises:
        ClusterError: It cannot be done here.
    """
    check_requirements()
    unshare(CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ[_NAMESPACE] = _namespace()
    if not is_isolated():
        raise ClusterError(
            "A new network namespace must have no routes. Received: routes to "
            f"{sorted(_routed_interfaces())}. Report this, with your Linux's version."
        )
    replace_process(command, dict(os.environ))


def enter(network: str) -> None:
    """Moves the calling thread into the isolated namespace of a lab's client.

    Args:
        network: Its path.
    """
    with open(network) as namespace:
        setns(namespace.fileno(), CLONE_NEWNET)
    os.environ[_NAMESPACE] = _namespace()


def replace_process(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Replaces this process by a command that can import both packages.

    Raises:
        ClusterError: There is no such program.
    """
    command = as_program(command)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, with_packages(environment))
    except OSError as error:
        raise no_such_program(command, error) from error


def as_program(command: list[str]) -> list[str]:
    """Returns a command with this interpreter before what is a Python script."""
    return [sys.executable, *command] if command[0].endswith(".py") else command


def no_such_program(command: list[str], error: OSError) -> ClusterError:
    """Returns the error for a command that cannot be run."""
    return ClusterError(
        f"The command must be a program. Received: {command}, {error.strerror}. Give "
        "a program on the path, or a Python script."
    )


def with_packages(environment: dict[str, str]) -> dict[str, str]:
    """Returns an environment where Python finds both packages from any directory."""
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _namespace() -> str:
    # Of the thread, for every thread has a network namespace of its own.
    path = "/proc/thread-self/ns/net"
    return os.readlink(path) if os.path.lexists(path) else "none"


def _routed_interfaces() -> set[str]:
    found = set()
    for table, column in (("route", 0), ("ipv6_route", -1)):
        path = Path("/proc/thread-self/net", table)
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [line.split() for line in lines[1 if column == 0 else 0 :]]
        found |= {row[column] for row in rows}
    return found
