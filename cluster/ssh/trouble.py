"""What is wrong with a machine, and what to do about it, in words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from cluster.ssh.hosts import Host
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.text import text_of
from fcdcc_keras.version import __version__

_MARK = "fcdcc_keras:"
"""Begins what is ours of a machine's answer: its shell may greet as well."""
QUESTION = f"""\
from fcdcc_keras.version import __version__
print({_MARK!r}, __version__)
from fcdcc_keras.worker.installed import resolve
print({_MARK!r}, resolve("auto"))
"""
"""What a machine's Python is asked: the package's version, and the engine."""

_ADVICE = {
    "gaierror": "No machine has this name. Check it, or write the address",
    "PermissionDenied": "It takes none of your keys. Copy one there: {copy}",
    "HostKeyNotVerifiable": "Its key is not known here, or is another than before. "
    "Look at it, and accept it: {ssh}",
    "ConnectionRefusedError": "Nothing listens at SSH's port there. Start an SSH "
    "server (Debian: apt install openssh-server), or write the port: name:2222",
    "TimeoutError": "It does not answer. See whether it is switched on and in this "
    "network, and whether a firewall lets SSH through",
    "DisconnectError": "What listens at this port is no SSH server that this one can "
    "talk to. Check the port: {ssh}",
    "OSError": "There is no way to it. See whether this machine is in its network",
}
"""By the name of an error's class, or of one that it is derived from."""


def of_connection(host: Host, error: BaseException) -> str:
    """Returns why a machine cannot be reached, and what to do."""
    port = "" if host.port is None else f"-p {host.port} "
    user = "" if host.user is None else f"{host.user}@"
    commands = {
        "ssh": f"ssh {port}{user}{host.name}",
        "copy": f"ssh-copy-id {port}{user}{host.name}",
    }
    said = text_of(error)
    for kind in type(error).__mro__:
        if kind.__name__ in _ADVICE:
            return f"{said}. {_ADVICE[kind.__name__].format(**commands)}."
    return f"{said}. Try by hand: {commands['ssh']}."


def question(host: Host, python: str) -> str:
    """Returns the command that asks a machine what it has; see ``of_answer``.

    Args:
        host: The machine.
        python: Its Python where it names none.
    """
    return f"{host.python or python} -c {shlex.quote(QUESTION)}"


def of_answer(host: Host, python: str, output: str, errors: str) -> str | None:
    """Returns what a machine lacks to be a worker, and what to do; None: nothing.

    Args:
        host: The machine.
        python: Its Python where it names none.
        output: What it answered to ``question``.
        errors: What it wrote beside.
    """
    python = host.python or python
    said = [
        line.removeprefix(_MARK).strip()
        for line in output.splitlines()
        if line.startswith(_MARK)
    ]
    last = (errors.strip().splitlines() or ["nothing"])[-1]
    install = f"{python} -m pip install 'fcdcc-keras[worker]=={__version__}'"
    if not said and "No module named 'fcdcc_keras'" in last:
        return f"Its Python, {python}, has no fcdcc_keras. There: {install}"
    if not said:
        return (
            f"Its Python, {python}, does not run: {last}. Write where the one is that "
            "has the package: python=PATH"
        )
    if said[0] != __version__:
        return f"It has fcdcc_keras {said[0]}, not {__version__}. There: {install}"
    if len(said) < 2 and host.workers:
        return f"It has no engine to compute with: {last}. There: {install}"
    return None


def refuse(found: Mapping[Host, str]) -> None:
    """Raises an error that names every machine with what is wrong with it.

    Raises:
        ClusterError: There is any.
    """
    if found:
        raise ClusterError(
            "Every machine must be reached by SSH without a password, and have "
            f"fcdcc_keras {__version__}, those with workers an engine as well. Received"
            ":"
            + "".join(f"\n  {host}: {text}" for host, text in found.items())
            + "\nMend these, or leave them out of the hosts file."
        )
