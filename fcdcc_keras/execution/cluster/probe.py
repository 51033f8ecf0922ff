"""Asking scheduler and workers what they have, and getting workers ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import numpy as np

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.cluster.memory import Memory
from fcdcc_keras.execution.cluster.patience import while_scheduler_answers
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_text
from fcdcc_keras.text import text_of
from fcdcc_keras.version import VERSION, __version__
from fcdcc_keras.wire.requests import LEFT, PlainRequests
from fcdcc_keras.wire.tasks import TaskTransport
from fcdcc_keras.wire.transport import Subtask
from fcdcc_keras.worker.handler import READY, install
from fcdcc_keras.worker.installed import said_of_engines
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.weights import Weights

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

PROBE_TIMEOUT = 30.0
"""Seconds that each of them gets to say what it has installed."""
WARM_UP_TIMEOUT = 180.0
"""Seconds that the workers get to load their engines, all at once on one machine."""
_LOOK_EVERY = 0.5
"""Seconds between looks at which workers are there still."""


@dataclass(frozen=True)
class Readiness:
    """What came of getting workers ready."""

    processes: dict[str, str]
    """For each address where one is ready what Dask calls its process."""
    lacking: dict[str, str]
    """For each worker that left meanwhile, or has no memory left, what is known of
    why."""


async def prepare(client: Client, addresses: Sequence[str]) -> Readiness:
    """Checks scheduler and workers, and gets the workers ready for subtasks.

    Runs on the client's loop.

    Returns:
        The workers that are ready, and those that are not.

    Raises:
        ClusterError: One of them has another version of the package or none, cannot
            convolve, or says nothing.
    """
    return await while_scheduler_answers(client, _prepare, client, addresses)


async def _prepare(client: Client, addresses: Sequence[str]) -> Readiness:
    tasks, memory = TaskTransport(client), Memory(client)
    try:
        await memory.look()
        await _check_software(memory, tasks.requests, addresses)
        await _warm_up(memory, tasks, addresses)
        said = await _answers(
            memory,
            {address: tasks.requests.run(install, address) for address in addresses},
            PROBE_TIMEOUT,
        )
        wrong = {
            a: text
            for a, text in said.items()
            if not text.startswith(READY) and text != LEFT
        }
        if wrong:
            raise ClusterError(
                "Every worker must take the handlers that answer subtasks. Received: "
                f"{_listed(wrong)}. Look into the logs of these workers, or leave them "
                "out."
            )
        lacking = await memory.lacking(addresses)
        ready = {a: said[a].removeprefix(READY) for a in addresses if a not in lacking}
        return Readiness(ready, lacking)
    finally:
        await tasks.close()


async def _check_software(
    memory: Memory, requests: PlainRequests, addresses: Sequence[str]
) -> None:
    own, others = await asyncio.gather(
        _text(asyncio.wait_for(_version(requests), PROBE_TIMEOUT)),
        _answers(
            memory,
            {address: _software(requests, address) for address in addresses},
            PROBE_TIMEOUT,
        ),
    )
    said = {"scheduler": own, **others}
    wrong = {w: text for w, text in said.items() if text not in (__version__, LEFT)}
    if wrong:
        raise ClusterError(
            f"Scheduler and workers must have fcdcc_keras {__version__}, as this "
            "client has, and the workers an engine. Received: "
            f"{_listed(wrong)}. Install the same version there (`pip install "
            "'fcdcc-keras[worker]'`, or [cpu] for TensorFlow) and start them again."
        )


async def _warm_up(
    memory: Memory, tasks: TaskTransport, addresses: Sequence[str]
) -> None:
    """Has every worker load its engine and convolve once.

    It takes a weak machine tens of seconds, which would count as straggling.
    """
    ones = np.ones((1, 1, 1, 1), np.float32)
    share, nbytes = Weights(ones), ones.nbytes
    program = convolution_text(ConvGeometry((1, 1), 1, 1, (1, 1)), "float32")
    subtasks = [Subtask(a, share, ones, nbytes, program) for a in addresses]
    replies = map(_outcome, tasks.start("warm_up", subtasks))
    asking = dict(zip(addresses, replies, strict=True))
    said = await _answers(memory, asking, WARM_UP_TIMEOUT)
    wrong = {a: text for a, text in said.items() if text not in ("ready", LEFT)}
    if wrong:
        raise ClusterError(
            f"Every worker must convolve within {WARM_UP_TIMEOUT:g} s of being asked. "
            f"Received: {_listed(wrong)}. Look into the logs of these workers, or "
            "leave them out."
        )


async def _answers(
    memory: Memory, asking: Mapping[str, Awaitable[str]], timeout: float
) -> dict[str, str]:
    """Returns what each worker says, by address.

    Those that leave are not waited for: Dask would keep their subtasks for ever, and
    look for their addresses for half a minute. Why they left is told at once, since
    others may take long.
    """
    waiting = {a: asyncio.ensure_future(_text(ask)) for a, ask in asking.items()}
    said: dict[str, str] = {}
    deadline = time.monotonic() + timeout
    try:
        while waiting and time.monotonic() < deadline:
            await asyncio.wait(waiting.values(), timeout=_LOOK_EVERY)
            left = waiting.keys() - await memory.look()
            for address, answer in list(waiting.items()):
                if address in left:
                    said[address] = LEFT
                    waiting.pop(address).cancel()
                elif answer.done():
                    said[address] = waiting.pop(address).result()
            reasons = await memory.lacking(sorted(left)) if left else {}
            for address, why in reasons.items():
                logger.warning("%s cannot be used: %s", address, why)
        return said | dict.fromkeys(waiting, f"no answer within {timeout:g} s")
    finally:
        for answer in waiting.values():
            answer.cancel()


async def _outcome(reply: asyncio.Task[Reply]) -> str:
    return (await reply).error or "ready"


async def _text(asking: Awaitable[str]) -> str:
    try:
        return await asking
    except Exception as error:  # whatever went wrong there is what they said
        return text_of(error)


def _listed(wrong: Mapping[str, str]) -> str:
    return "; ".join(f"{where}: {said}" for where, said in wrong.items())


async def _software(requests: PlainRequests, address: str) -> str:
    """Returns a worker's version of the package, or what it lacks besides."""
    version = await _version(requests, address)
    if version != __version__:
        return version
    return await requests.run(said_of_engines, address) or version


async def _version(requests: PlainRequests, address: str | None = None) -> str:
    """Returns the version that a worker has, or the scheduler, or why it has none."""
    # Of the standard library: it runs even where the package is missing.
    said = await requests.run(partial(resolve_name, VERSION), address)
    missing = said.startswith("ModuleNotFoundError")
    return "fcdcc_keras is not installed" if missing else said
