"""Asking scheduler and workers what they have, and getting workers ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.operation import Convolution
from fcdcc_keras.execution.plain import PlainRequests
from fcdcc_keras.execution.subtask import KernelShare, Reply
from fcdcc_keras.execution.tasks import TaskTransport
from fcdcc_keras.execution.transport import Subtask
from fcdcc_keras.execution.worker_side import install
from fcdcc_keras.version import __version__

if TYPE_CHECKING:
    from distributed import Client

PROBE_TIMEOUT = 30.0
"""Seconds that each of them gets to say what it has installed."""
WARM_UP_TIMEOUT = 180.0
"""Seconds that the workers get to load TensorFlow, all at once on one machine."""


async def prepare(client: Client, addresses: Sequence[str]) -> None:
    """Checks scheduler and workers, and gets the workers ready for subtasks.

    Runs on the client's loop.

    Raises:
        ClusterError: One of them has another version of the package or none, cannot
            convolve, or says nothing.
    """
    tasks = TaskTransport(client)
    try:
        await _check_software(tasks.requests, addresses)
        await _warm_up(tasks, addresses)
        await asyncio.gather(*(tasks.requests.run(install, a) for a in addresses))
    finally:
        await tasks.close()


async def admit(client: Client, address: str) -> str | None:
    """Gets one worker ready that has joined later.

    Returns:
        What is wrong with it, or None.
    """
    try:
        await prepare(client, [address])
    except Exception as error:  # whatever it was, the worker cannot be used
        return str(error)
    return None


async def _check_software(requests: PlainRequests, addresses: Sequence[str]) -> None:
    answers = await asyncio.gather(
        _said(requests.run(_make_probe(False))),
        *(_said(requests.run(_make_probe(True), address)) for address in addresses),
    )
    wrong = [
        f"{where}: {said}"
        for where, said in zip(("scheduler", *addresses), answers, strict=True)
        if said != __version__
    ]
    if wrong:
        raise ClusterError(
            f"Scheduler and workers must have fcdcc_keras {__version__}, as this "
            "client has, and the workers TensorFlow. Received: "
            f"{'; '.join(wrong)}. Install the same version there (`pip install "
            "fcdcc_keras[cpu]`) and start them again."
        )


async def _warm_up(tasks: TaskTransport, addresses: Sequence[str]) -> None:
    """Has every worker load TensorFlow and convolve once.

    It takes a weak machine tens of seconds, which would count as straggling.
    """
    ones = np.ones((1, 1, 1, 1), np.float32)
    share, nbytes = KernelShare(ones), ones.nbytes
    subtasks = [Subtask(address, share, ones, nbytes) for address in addresses]
    conv = Convolution((1, 1), (1, 1), ((0, 0), (0, 0)))
    replies = tasks.start("warm_up", subtasks, conv)
    answers = await asyncio.gather(
        *(_said(_outcome(reply), WARM_UP_TIMEOUT) for reply in replies)
    )
    wrong = [
        f"{where}: {said}"
        for where, said in zip(addresses, answers, strict=True)
        if said != "ready"
    ]
    if wrong:
        raise ClusterError(
            f"Every worker must convolve within {WARM_UP_TIMEOUT:g} s of being asked. "
            f"Received: {'; '.join(wrong)}. Look into the logs of these workers, or "
            "leave them out."
        )


async def _outcome(reply: asyncio.Task[Reply]) -> str:
    return (await reply)["error"] or "ready"


async def _said(asking: Awaitable[Any], timeout: float = PROBE_TIMEOUT) -> str:
    try:
        return str(await asyncio.wait_for(asking, timeout))
    except asyncio.TimeoutError:
        return f"no answer within {timeout:g} s"
    except Exception as error:  # whatever went wrong there is what they said
        return f"{type(error).__name__}: {error}"


def _make_probe(needs_tensorflow: bool) -> Callable[[], bytes]:
    # A function made inside a function travels by value: it runs even where the
    # package is missing, and can say so.
    def probe() -> bytes:
        from importlib.util import find_spec

        if find_spec("fcdcc_keras") is None:
            return b"fcdcc_keras is not installed"
        if needs_tensorflow and find_spec("tensorflow") is None:
            return b"TensorFlow is not installed"
        from fcdcc_keras.version import __version__ as version

        return version.encode()

    return probe
