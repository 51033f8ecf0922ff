"""Addresses of schedulers, as far as they can be judged without asking."""

from __future__ import annotations

from fcdcc_keras.errors import ClusterError

_WITH_PORT = ("", "tcp", "tls", "ws", "wss")


def check_address(address: str) -> None:
    """Checks that an address of a network names a host and a port.

    Dask tries one without a port again and again, and complains only after 20 s.

    Raises:
        ClusterError: It does not.
    """
    scheme, _, rest = address.rpartition("://")
    host, _, port = rest.partition("/")[0].rpartition(":")
    good = host and port.isdecimal() and 0 < int(port) < 1 << 16
    if scheme in _WITH_PORT and not good:
        raise ClusterError(
            "A scheduler's address must have a host and a port. Received: "
            f"{address!r}. Write for example tcp://192.168.1.10:8786; `dask scheduler` "
            "prints its own when it starts."
        )
