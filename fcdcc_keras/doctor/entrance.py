"""What is at the address of a scheduler, if it is one."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from fcdcc_keras.doctor.carried import touching
from fcdcc_keras.doctor.findings import Door, Touch, host_of, port_of
from fcdcc_keras.doctor.reading import printable
from fcdcc_keras.text import text_of
from fcdcc_keras.worker.reach import identify

if TYPE_CHECKING:
    from distributed import Security

_SECURE = {"tls": "tcp", "wss": "ws"}
"""Protocols with TLS, and the same without."""
_GREETING = 1.0
"""Seconds in which a server refuses a certificate, if it does."""
_SHOWN = 60
"""Letters that are shown of what came."""

Found = tuple[Door, str]
"""What is there, and what it said."""


async def touch(host: str, port: int, patience: float) -> tuple[Touch, list[str]]:
    """Connects to a port, and to nothing more.

    Args:
        host: Name or address of a machine.
        port: Its port.
        patience: Seconds.

    Returns:
        What came of it, and the addresses that the host has.
    """
    touched = touching([(host, port)], patience)
    ((how, seconds, said, places),) = json.loads(await touched())
    return Touch(how, seconds, said), places


async def knock_at(
    address: str, security: Security, connect: float, patience: float
) -> Found:
    """Finds out what is at an address.

    Args:
        address: Of a scheduler, as the user gave it.
        security: Certificates, for TLS.
        connect: Seconds for its port to answer.
        patience: Seconds for each question.
    """
    host, port = host_of(address), port_of(address)
    if not (host and port):
        return "no address", ""
    outcome, places = await touch(host, port, connect)
    if outcome.how != "open":
        return outcome.how, outcome.said
    scheme = address.partition("://")[0] if "://" in address else "tcp"
    try:
        there = await identify(address, security, "client", patience)
        kind = str(there["type"])
    except TypeError as error:  # Dask's own, of TLS without certificates
        if scheme in _SECURE:
            return "no certificate", str(error)
        return "other", str(error)
    except (Exception, asyncio.TimeoutError) as error:
        why = text_of(error).splitlines()[0]
    else:
        return ("scheduler", "") if kind == "Scheduler" else ("other", f"a {kind}")
    place = places[0], port
    if scheme in _SECURE:
        plain = f"{_SECURE[scheme]}://{address.partition('://')[2]}"
        # First, for to a server without TLS its greeting is nonsense.
        if await _is_dask(plain, patience):
            return "speaks no TLS", ""
        return await _by_tls(place, _context(security), patience) or ("other", why)
    found, text = await asyncio.gather(
        _by_tls(place, None, patience), _by_http(place, patience)
    )
    if found:
        return "speaks TLS", found[1]
    if text.startswith("HTTP/"):
        return "http", printable(text.partition("\n")[0])
    return ("other", printable(text.partition("\n")[0])) if text else ("silent", why)


def _context(security: Security) -> ssl.SSLContext | None:
    context: ssl.SSLContext | None = security.get_connection_args("client").get(
        "ssl_context"
    )
    return context


async def _is_dask(address: str, patience: float) -> bool:
    """Returns whether a server of Dask answers without TLS."""
    from distributed import Security

    try:
        plain = Security(require_encryption=False)
        return bool(await identify(address, plain, "client", patience))
    except (Exception, asyncio.TimeoutError):  # whatever it is, it is no answer
        return False


async def _by_tls(
    place: tuple[str, int], context: ssl.SSLContext | None, patience: float
) -> Found | None:
    """Shakes hands; returns what is amiss, if TLS is spoken there.

    Args:
        place: Host and port.
        context: The certificates to be shown and believed; None: none, any.
        patience: Seconds.
    """
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with _connected(place, patience) as line:
            opened = asyncio.open_connection(
                sock=line, ssl=context, server_hostname=place[0]
            )
            reader, writer = await asyncio.wait_for(opened, patience)
            try:
                # Who refuses our certificate says so after the handshake.
                await asyncio.wait_for(reader.read(1), _GREETING)
            except asyncio.TimeoutError:
                pass
            finally:
                await _end(writer)
    except ssl.SSLCertVerificationError as error:
        return "unknown authority", error.verify_message
    except ssl.SSLError as error:
        refused = "ALERT" in (error.reason or "")
        return ("not admitted", str(error.reason)) if refused else None
    except (OSError, asyncio.TimeoutError):
        return None
    return "silent", "it speaks TLS"


@asynccontextmanager
async def _connected(
    place: tuple[str, int], patience: float
) -> AsyncIterator[socket.socket]:
    """Connects, and closes in any case: asyncio leaves that to later, if TLS fails."""
    connect = partial(socket.create_connection, place, timeout=patience)
    with await asyncio.get_running_loop().run_in_executor(None, connect) as line:
        line.setblocking(False)
        yield line


async def _end(writer: asyncio.StreamWriter) -> None:
    """Breaks a connection, and waits until that is done."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def _by_http(place: tuple[str, int], patience: float) -> str:
    """Returns how an answer to a request of HTTP begins; "": there is none."""
    try:
        async with _connected(place, patience) as line:
            reader, writer = await asyncio.open_connection(sock=line)
            try:
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                data = await asyncio.wait_for(reader.read(_SHOWN), patience)
            finally:
                await _end(writer)
    except (OSError, asyncio.TimeoutError):
        return ""
    return data.decode("latin-1")
