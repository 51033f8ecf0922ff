"""Waiting until a scheduler answers at an address."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fcdcc_keras.dask_internals import port_of
from fcdcc_keras.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Security

TRY_FOR = 5.0
"""Most seconds that a scheduler gets to answer each time."""
_FIRST = 1.0
"""The same the first time, so that its absence is soon told."""
_HOPELESS = ("CERTIFICATE", "UNKNOWN_CA", "WRONG_VERSION")
"""What is in the names of OpenSSL's errors that no waiting helps against."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
"""Seconds between tries."""


async def identify(address: str, security: Security, role: str, patience: float) -> str:
    """Returns what answers at an address: "Scheduler", or another kind of server.

    Dask's own way to connect waits for ever for a process that is stopped.

    Args:
        address: As ``tcp://host:8786``.
        security: Certificates, for ``tls://``.
        role: Whose of them: "client" or "worker".
        patience: Seconds.

    Raises:
        OSError: Nothing answers.
        asyncio.TimeoutError: Likewise, or not in time.
    """
    from distributed.comm import connect  # type: ignore[attr-defined]

    arguments = security.get_connection_args(role)

    async def ask() -> str:
        comm = await connect(address, timeout=patience, deserialize=False, **arguments)
        try:
            await comm.write({"op": "identity"})
            return str((await comm.read())["type"])
        finally:
            await comm.close()

    return await asyncio.wait_for(ask(), patience)


def wait_for_scheduler(
    where: str | Path,
    security: Security,
    wait: float,
    say: Callable[[str], object],
) -> str:
    """Returns a scheduler's address when it answers; tries again after growing pauses.

    Args:
        where: Its address, as ``tcp://host:8786``, or the file that it writes it to.
        security: Certificates; for ``tls://`` only.
        wait: Seconds to go on trying.
        say: Told, once, that and why it is tried again.

    Raises:
        ClusterError: The address is none, or something else answers there, or nothing
            does in time.
    """
    address = where if isinstance(where, str) else str(where)
    until, pause, why = time.monotonic() + wait, _FIRST_PAUSE, ""
    while True:
        try:
            longest = TRY_FOR if why else _FIRST
            address = where if isinstance(where, str) else _read(where)
            _check_address(address)
            patience = min(longest, max(until - time.monotonic(), _FIRST))
            kind = asyncio.run(identify(address, security, "worker", patience))
        except (OSError, asyncio.TimeoutError) as error:
            _check_certificates(address, error)
            before, why = why, f"{type(error).__name__}: {error}".splitlines()[0]
        except ClusterError:
            raise
        except Exception as error:  # certificates that cannot be used, for example
            raise ClusterError(
                "A scheduler must be reachable with what is given. Received: "
                f"{address!r}, {type(error).__name__}: {error}. For tls:// give the "
                "three --tls options."
            ) from error
        else:
            if kind == "Scheduler":
                return address
            raise ClusterError(
                f"A scheduler must answer at the address. Received: {address!r}, "
                f"where a {kind} does. Give the address that `dask scheduler` prints."
            )
        left = until - time.monotonic()
        if left <= 0:
            raise ClusterError(
                f"A scheduler must answer within {wait:g} s. Received: {address!r}, "
                f"{why}. Check host, port and the firewall, and whether it is "
                "tcp:// or tls://, start one with "
                "`dask scheduler`, or wait longer with --wait."
            )
        if not before:
            say(f"No scheduler answers at {address} ({why}). Trying again.")
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _check_certificates(address: str, error: BaseException | None) -> None:
    """Checks that it is not for want of certificates that a scheduler is not reached.

    Waiting does not help against that.

    Raises:
        ClusterError: It is.
    """
    while error is not None:
        reason = isinstance(error, ssl.SSLError) and (error.reason or "")
        if reason and any(word in reason for word in _HOPELESS):
            raise ClusterError(
                "Scheduler and workers must speak TLS, and show certificates of one "
                f"authority. Received: {address!r}, {error}. Check the files of the "
                "three --tls options on this machine, and those of `dask scheduler`."
            ) from error
        error = error.__cause__ or error.__context__


def _read(file: Path) -> str:
    """Returns the address in the file of ``dask scheduler --scheduler-file``.

    Raises:
        OSError: It is not there, or not written to its end.
    """
    try:
        return str(json.loads(file.read_text("utf-8"))["address"])
    except (ValueError, LookupError, TypeError) as error:
        raise OSError(f"{file} has no address of a scheduler") from error


def _check_address(address: str) -> None:
    try:
        port = port_of(address)
    except (ValueError, NotImplementedError) as error:
        port, why = 0, f" ({error})"
    else:
        why = ""
    if not port:
        raise ClusterError(
            "A scheduler's address is its host and port, as tcp://192.168.1.10:8786. "
            f"Received: {address!r}{why}. Give what `dask scheduler` prints."
        )
