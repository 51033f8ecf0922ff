"""The file that says which machines there are, and what each is for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fcdcc_keras.errors import ClusterError

_TARGET = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<six>[^\]\s]+)\]|(?P<name>[^:@\[\]\s]+))"
    r"(?::(?P<port>\d+))?"
)
_SETTINGS = ("python", "workers", "address")


@dataclass(frozen=True)
class Host:
    """A machine, as SSH reaches it."""

    name: str
    """A name of SSH's configuration or of the network's, or an address."""
    user: str | None = None
    """None: as SSH's configuration says."""
    port: int | None = None
    """SSH's; None: likewise."""
    python: str | None = None
    """The Python there that has the package; None: this one's path."""
    workers: int = 1
    """How many to start."""
    address: str | None = None
    """What the other machines reach it by; None: it finds that out itself."""

    def __str__(self) -> str:
        """Returns it as the file has it, without settings."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        user = "" if self.user is None else f"{self.user}@"
        return f"{user}{name}" + ("" if self.port is None else f":{self.port}")


def parse_hosts(text: str) -> tuple[Host, ...]:
    """Returns the machines of a hosts file: that of the scheduler, and the others.

    Args:
        text: A machine a line, ``[user@]name[:port]`` and settings: ``python=PATH``,
            ``workers=N`` (1; on the scheduler's machine 0), ``address=IP``. Text after
            "#" is a comment.

    Raises:
        ClusterError: A line is none, or there is nothing to run on.
    """
    hosts: list[Host] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            host = _host(words, f"Line {number}: {line.strip()!r}", not hosts)
            if str(host) in map(str, hosts):
                raise ClusterError(
                    "A hosts file must name every machine once. Received: line "
                    f"{number}: {line.strip()!r}. Write workers=2 for two on one."
                )
            hosts.append(host)
    if not sum(host.workers for host in hosts):
        raise ClusterError(
            "A hosts file must name a machine for the scheduler, and another for "
            f"workers or workers=1 on that one. Received: {len(hosts)} machines. Write "
            "one a line, as pi@192.168.1.11."
        )
    return tuple(hosts)


def _host(words: list[str], where: str, first: bool) -> Host:
    target, *settings = words
    found = _TARGET.fullmatch(target)
    given = dict(setting.partition("=")[::2] for setting in settings)
    port, workers = found and found["port"], given.get("workers", "0" if first else "1")
    if (
        found is None
        or not all(given.get(name) for name in given)
        or not set(given) <= set(_SETTINGS)
        or len(given) < len(settings)
        or not (port is None or 0 < int(port) < 1 << 16)
        or not workers.isdecimal()
    ):
        raise ClusterError(
            "A line of a hosts file must be [user@]name[:port], then python=PATH, "
            f"workers=N or address=IP. Received: {where[0].lower()}{where[1:]}. Write "
            "for example: pi@192.168.1.11 workers=4 python=~/fcdcc/bin/python"
        )
    return Host(
        name=found["six"] or found["name"],
        user=found["user"],
        port=None if port is None else int(port),
        python=given.get("python"),
        workers=int(workers),
        address=given.get("address"),
    )
