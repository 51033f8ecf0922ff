"""Keeping Dask from remembering every input that it has sent.

Each of its connections keeps its last 1000 batches of messages under a megabyte,
for Dask's developers. With coded inputs in them that comes to gigabytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client


async def keep_no_messages(client: Client) -> None:
    """Empties and stops these logs, in the client and in its scheduler.

    Runs on the client's loop.
    """
    _empty([client.scheduler_comm])
    await client.run_on_scheduler(_on_scheduler, asynchronous=True)


def _on_scheduler(dask_scheduler: Any) -> None:
    _empty(dask_scheduler.stream_comms.values())


def _empty(comms: Iterable[Any]) -> None:
    for comm in comms:
        comm.recent_message_log = deque(maxlen=0)
