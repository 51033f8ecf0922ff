"""Waiting for others no longer than the scheduler answers: all deadlines for it.

A scheduler that is stopped, or whose machine hangs, keeps its connections: nothing that
is asked of it fails, or ever ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from fcdcc_keras.dask_internals import scheduler_of
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker.reach import identify

if TYPE_CHECKING:
    from distributed import Client, Security

T = TypeVar("T")

SCHEDULER_TIMEOUT = 10.0
"""Seconds that a scheduler gets to answer."""
CLOSE_TIMEOUT = 5.0
"""Seconds that taking leave of it may take."""
_AGAIN = 1.0
"""Seconds from its answer to the next question whether it is there."""


def knock(address: str, security: Security) -> None:
    """Returns when something answers a client at an address, in any thread.

    Raises:
        OSError: Nothing does within ``SCHEDULER_TIMEOUT``.
        asyncio.TimeoutError: Likewise.
    """
    if address.startswith("inproc://"):
        return  # this process runs
    # This thread's loop may be running, as in a notebook.
    with ThreadPoolExecutor(1) as thread:
        asking = identify(address, security, "client", SCHEDULER_TIMEOUT)
        thread.submit(asyncio.run, asking).result()


async def ask_scheduler(client: Client, op: str, **message: Any) -> Any:
    """Returns what a handler of the scheduler answers. Runs on the client's loop.

    Raises:
        ClusterError: It has gone, or does not answer within ``SCHEDULER_TIMEOUT``.
    """
    scheduler = scheduler_of(client)
    try:
        asking = getattr(scheduler, op)(**message)
        return await asyncio.wait_for(asking, SCHEDULER_TIMEOUT)
    except (asyncio.TimeoutError, OSError) as error:
        why = str(error) or "no answer"
        raise ClusterError(
            f"A scheduler must answer within {SCHEDULER_TIMEOUT:g} s. Received: {why} "
            f"from {scheduler.address}. See whether its process runs and its machine "
            "is not overloaded, and start one with `dask scheduler` where it does not."
        ) from error


async def while_scheduler_answers(
    client: Client, work: Callable[..., Awaitable[T]], *args: Any
) -> T:
    """Returns the outcome of what cannot end without the scheduler.

    Runs on the client's loop.

    Raises:
        ClusterError: The scheduler does not answer any more; the work is cancelled.
    """
    working = asyncio.ensure_future(work(*args))
    working.add_done_callback(_heard)
    try:
        while not working.done():
            asking = asyncio.ensure_future(ask_scheduler(client, "echo", data=1))
            asking.add_done_callback(_heard)
            try:
                both = {working, asking}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    asking.result()
                    await asyncio.wait({working}, timeout=_AGAIN)
            finally:
                asking.cancel()
        return working.result()
    finally:
        working.cancel()


def _heard(task: asyncio.Future[Any]) -> None:
    """Has asyncio not complain where nobody waits for an outcome any more."""
    if not task.cancelled():
        task.exception()


def close_client(client: Client) -> None:
    """Closes a client of our own, even where its scheduler does not answer."""
    with suppress(TimeoutError, asyncio.TimeoutError):
        client.close(timeout=CLOSE_TIMEOUT)
