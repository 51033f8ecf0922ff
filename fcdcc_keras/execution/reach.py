"""Waiting until a scheduler answers at an address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fcdcc_keras.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Security

TRY_FOR = 5.0
"""Most seconds that a scheduler gets to answer each time."""
_FIRST = 1.0
"""The same the first time, so that its absence is soon told."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
"""Seconds between tries."""


def wait_for_scheduler(
    address: str,
    security: Security,
    wait: float,
    say: Callable[[str], object],
) -> None:
    """Returns when a scheduler answers; tries again after growing pauses.

    Args:
        address: As ``tcp://host:8786``.
        security: Certificates; for ``tls://`` only.
        wait: Seconds to go on trying.
        say: Told, once, that and why it is tried again.

    Raises:
        ClusterError: The address is none, or something else answers there, or nothing
            does in time.
    """
    _check_address(address)
    until, pause, why = time.monotonic() + wait, _FIRST_PAUSE, ""
    while True:
        try:
            longest = TRY_FOR if why else _FIRST
            patience = min(longest, max(until - time.monotonic(), _FIRST))
            kind = asyncio.run(_kind(address, security, patience))
        except (OSError, asyncio.TimeoutError) as error:
            before, why = why, f"{type(error).__name__}: {error}".splitlines()[0]
        except Exception as error:  # certificates that cannot be used, for example
            raise ClusterError(
                "A scheduler must be reachable with what is given. Received: "
                f"{address!r}, {type(error).__name__}: {error}. For tls:// give the "
                "three --tls options."
            ) from error
        else:
            if kind == "Scheduler":
                return
            raise ClusterError(
                f"A scheduler must answer at the address. Received: {address!r}, "
                f"where a {kind} does. Give the address that `dask scheduler` prints."
            )
        left = until - time.monotonic()
        if left <= 0:
            raise ClusterError(
                f"A scheduler must answer within {wait:g} s. Received: {address!r}, "
                f"{why}. Check the address and the firewall, start one with "
                "`dask scheduler`, or wait longer with --wait."
            )
        if not before:
            say(f"No scheduler answers at {address} ({why}). Trying again.")
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _check_address(address: str) -> None:
    from distributed.comm.addressing import get_address_host_port

    try:
        port = get_address_host_port(address)[1]
    except (ValueError, NotImplementedError) as error:
        port, why = 0, f" ({error})"
    else:
        why = ""
    if not port:
        raise ClusterError(
            "A scheduler's address is its host and port, as tcp://192.168.1.10:8786. "
            f"Received: {address!r}{why}. Give what `dask scheduler` prints."
        )


async def _kind(address: str, security: Security, patience: float) -> str:
    """Returns what answers at an address: "Scheduler", or another kind of server."""
    from distributed.comm.core import connect
    from distributed.core import send_recv

    comm = await connect(
        address,
        timeout=patience,
        deserialize=False,
        **security.get_connection_args("worker"),
    )
    try:
        asking = send_recv(comm, op="identity")
        identity = await asyncio.wait_for(asking, patience)
        return str(identity["type"])
    finally:
        comm.abort()
