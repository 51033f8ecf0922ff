"""Keeping Dask from remembering every input that it has sent.

Each of its connections keeps its last 1000 batches of messages under a megabyte,
for Dask's developers. With coded inputs in them that comes to gigabytes.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from distributed import SchedulerPlugin

from fcdcc_keras.dask_internals import connection_of, connections_from, remember_nothing
from fcdcc_keras.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client


class NoMessages(SchedulerPlugin):
    """On the scheduler: nothing is remembered of what is sent to workers."""

    name = "fcdcc-no-messages"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Empties and stops the logs that there are."""
        remember_nothing(connections_from(scheduler))

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Stops that of a worker that has joined."""
        remember_nothing(connections_from(scheduler))


async def keep_no_messages(client: Client) -> None:
    """Empties and stops these logs, in the client and in its scheduler.

    Runs on the client's loop. Warns where Dask keeps them otherwise.
    """
    try:
        remember_nothing(connection_of(client))
        await client.register_plugin(NoMessages())
    except ClusterError as error:
        warnings.warn(
            f"Inputs that are sent stay in memory: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
