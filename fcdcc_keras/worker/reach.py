"""Waiting until a scheduler answers at an address."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcdcc_keras.dask_internals import port_of
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.text import causes, text_of

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
_CONNECT = 0.9
"""Of the time to answer what Dask gets to connect: it says why it could not."""


async def identify(
    address: str, security: Security, role: str, patience: float
) -> Mapping[str, Any]:
    """Returns what answers at an address, as Dask's ``identity``.

    Its "type" is "Scheduler", or another kind of server. Dask's own way to connect
    waits for ever for a process that is stopped.

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

    async def ask() -> Mapping[str, Any]:
        within = _CONNECT * patience
        comm = await connect(address, timeout=within, deserialize=False, **arguments)
        try:
            await comm.write({"op": "identity"})
            said: Mapping[str, Any] = await comm.read()
            return said
        finally:
            await comm.close()

    return await asyncio.wait_for(ask(), patience)


def wait_for_scheduler(
    where: str | Path,
    security: Security,
    wait: float,
    say: Callable[[str], object],
    names: Collection[str] = (),
) -> str:
    """Returns a scheduler's address when it can be joined; tries again till then.

    Args:
        where: Its address, as ``tcp://host:8786``, or the file that it writes it to.
        security: Certificates; for ``tls://`` only.
        wait: Seconds to go on trying.
        say: Told that and why it is tried again; once, however often that is.
        names: That workers are to have there. One that was cut off, or whose machine
            was, has its name until the scheduler knows that.

    Raises:
        ClusterError: The address is none, or something else answers there, or nothing
            does in time, or another has such a name.
    """
    address = where if isinstance(where, str) else str(where)
    until, pause = time.monotonic() + wait, _FIRST_PAUSE
    told: set[str | None] = set()
    while True:
        try:
            longest = TRY_FOR if told else _FIRST
            address = where if isinstance(where, str) else _read(where)
            _check_address(address)
            patience = min(longest, max(until - time.monotonic(), _FIRST))
            there = asyncio.run(identify(address, security, "worker", patience))
        except (OSError, asyncio.TimeoutError) as error:
            _check_certificates(address, error)
            *_, first = causes(error)  # of which Dask says only that it took too long
            why = text_of(first).splitlines()[0]
            name, what = None, f"No scheduler answers at {address} ({why})"
            wrong = _no_answer(address, wait, why)
        except ClusterError:
            raise
        except Exception as error:  # certificates that cannot be used, for example
            raise ClusterError(
                "A scheduler must be reachable with what is given. Received: "
                f"{address!r}, {text_of(error)}. For tls:// give the "
                "three --tls options."
            ) from error
        else:
            _check_kind(address, there)
            taken = {each["name"]: at for at, each in there["workers"].items()}
            name = next(filter(taken.__contains__, names), None)
            if name is None:
                return address
            what = f"The worker at {taken[name]} has the name {name!r}"
            wrong = name_taken(name, f"{taken[name]} still has after {wait:g} s")
        left = until - time.monotonic()
        if left <= 0:
            raise wrong
        if name not in told:
            say(f"{what}. Trying again.")
            told.add(name)
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def name_taken(name: str, who: str) -> ClusterError:
    """Returns the error that another worker has a name.

    Args:
        name: The name.
        who: Has it.
    """
    return ClusterError(
        f"No two workers of a cluster may have the same name. Received: {name!r}, "
        f"which {who}. Give another with --name, or leave it out; if it is this one's "
        "own from before, wait longer with --wait: the scheduler must notice first."
    )


def _no_answer(address: str, wait: float, why: str) -> ClusterError:
    return ClusterError(
        f"A scheduler must answer within {wait:g} s. Received: {address!r}, {why}. "
        "Check host, port and the firewall, and whether it is tcp:// or tls://, start "
        "one with `dask scheduler`, or wait longer with --wait."
    )


def _check_kind(address: str, there: Mapping[str, Any]) -> None:
    if there["type"] != "Scheduler":
        raise ClusterError(
            f"A scheduler must answer at the address. Received: {address!r}, where a "
            f"{there['type']} does. Give the address that `dask scheduler` prints."
        )


def _check_certificates(address: str, error: BaseException) -> None:
    """Checks that it is not for want of certificates that a scheduler is not reached.

    Waiting does not help against that.

    Raises:
        ClusterError: It is.
    """
    for one in causes(error):
        reason = isinstance(one, ssl.SSLError) and (one.reason or "")
        if reason and any(word in reason for word in _HOPELESS):
            raise ClusterError(
                "Scheduler and workers must speak TLS, and show certificates of one "
                f"authority. Received: {address!r}, {one}. Check the files of the "
                "three --tls options on this machine, and those of `dask scheduler`."
            ) from one


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
