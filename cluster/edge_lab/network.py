"""The lab's network: a bridge in the client's namespace, a link to each device.

The client holds the bridge itself, so that its own link has no limit. Each link is
a pair of virtual interfaces with a token bucket (tc-tbf) on either end: one limits
what the device receives, the other what it sends.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from fcdcc_keras.errors import ClusterError

BRIDGE = "edge-lab"
"""The bridge's name; that of the link to device i has i behind it."""
DEVICE_END = "eth0"
"""The name that a link has on its device."""
_NETWORK = "198.18.0"  # reserved for measuring networks (RFC 2544)
CLIENT = f"{_NETWORK}.1"
"""The client's address, and the scheduler's."""
MOST_DEVICES = 200
"""Beside the client's."""
_SWITCH = "latency 50ms"
"""How much waits at a port of the switch, beyond which it is lost."""
_OWN = "limit 6250kb"
"""How much waits at a device's own interface: whose queue, of a thousand packets, loses
nothing of what its sockets send at a time, however slow the link is."""
_RATE = re.compile(r"\d+(\.\d+)?[kmg]bit", re.IGNORECASE)


def device_host(index: int) -> str:
    """Returns the IP address of a device."""
    return f"{_NETWORK}.{10 + index}"


def check_rate(rate: str | None) -> None:
    """Checks a link's rate.

    Raises:
        ClusterError: It is none.
    """
    if rate is not None and not _RATE.fullmatch(rate):
        raise ClusterError(
            "A link's rate must be a number with kbit, mbit or gbit, a second. "
            f'Received: rate={rate!r}. Write it as "200mbit".'
        )


def create_bridge() -> None:
    """Makes the bridge here, with the client's address.

    Raises:
        ClusterError: There is one, or it cannot be made.
    """
    if BRIDGE in (name for _, name in socket.if_nameindex()):
        raise ClusterError(
            "A namespace can hold one lab at a time. Received: a second one, while "
            "the first is up. Leave the first, or isolate a process for each."
        )
    _ip(
        f"link add {BRIDGE} type bridge forward_delay 0 mcast_snooping 0",
        # Without IPv6, an interface is silent.
        f"link set {BRIDGE} addrgenmode none",
        f"address add {CLIENT}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    )


def remove_bridge() -> None:
    """Removes the bridge and all links here, as far as they exist."""
    names = [name for _, name in socket.if_nameindex() if name.startswith(BRIDGE)]
    if names:
        # A link goes by itself when its device's namespace does, maybe just now.
        _run(["ip", "-force", "-batch", "-"], [f"link del {name}" for name in names])


@dataclass(frozen=True)
class Link:
    """The link between the bridge and one device."""

    index: int
    """The device's."""
    namespace: str
    """Path of the device's network namespace."""

    @property
    def name(self) -> str:
        """The interface on the bridge's end."""
        return f"{BRIDGE}{self.index}"

    def create(self) -> None:
        """Makes both ends, up and without limit.

        Raises:
            ClusterError: They cannot be made.
        """
        _ip(
            f"link add {self.name} type veth "
            f"peer name {DEVICE_END} netns {self.namespace}",
            f"link set {self.name} addrgenmode none master {BRIDGE} up",
        )
        _ip(
            f"address add {device_host(self.index)}/24 dev {DEVICE_END}",
            f"link set {DEVICE_END} addrgenmode none up",
            "link set lo up",
            namespace=self.namespace,
        )

    def set_up(self, up: bool) -> None:
        """Plugs the cable in, or pulls it out."""
        _ip(f"link set {self.name} {'up' if up else 'down'}")

    def set_rate(self, rate: str | None, latency: float = 0.0) -> None:
        """Limits what the link carries, each way.

        Args:
            rate: Bits a second, as "200mbit"; None: no limit.
            latency: Seconds that each packet takes besides.

        Raises:
            ClusterError: Malformed, or the kernel cannot do it.
        """
        check_rate(rate)
        ends = ((self.name, None, _SWITCH), (DEVICE_END, self.namespace, _OWN))
        for device, namespace, queue in ends:
            # Fails where there is none yet.
            _run(["tc", "-batch", "-"], [f"qdisc del dev {device} root"], namespace)
            lines, parent = [], "root"
            if latency:
                lines.append(f"{parent} handle 1: netem delay {latency * 1e6:.0f}us")
                parent = "parent 1:"
            if rate is not None:
                # Less than 128 kb of burst halves 1 Gbit/s.
                lines.append(f"{parent} tbf rate {rate} burst 128kb {queue}")
            lines = [f"qdisc add dev {device} {line}" for line in lines]
            _checked(["tc", "-batch", "-"], lines, namespace)


def _ip(*lines: str, namespace: str | None = None) -> None:
    _checked(["ip", "-batch", "-"], lines, namespace)


def _checked(command: list[str], lines: Sequence[str], namespace: str | None) -> None:
    done = _run(command, lines, namespace)
    if done.returncode != 0:
        missing = "sch_netem, or a latency of 0" if "netem" in str(lines) else "sch_tbf"
        raise ClusterError(
            f"Linux must take the lab's network. Received: {done.stderr.strip()!r} "
            f"for {list(lines)}. Use a kernel with bridge, veth and {missing}."
        )


def _run(
    command: list[str], lines: Sequence[str], namespace: str | None = None
) -> subprocess.CompletedProcess[str]:
    if namespace is not None:
        command = ["nsenter", f"--net={namespace}", *command]
    return subprocess.run(
        command,
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
    )
