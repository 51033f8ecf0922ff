"""What Dask knows of workers that lack memory.

A nanny ends its worker at 95% of ``--memory-limit`` and starts it anew at another
address; at 80% the worker pauses and takes no more work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fcdcc_keras.dask_internals import ENDED_FOR_MEMORY, memory_of
from fcdcc_keras.execution.cluster.patience import ask_scheduler
from fcdcc_keras.text import bytes_text
from fcdcc_keras.wire.requests import LEFT
from fcdcc_keras.worker.installed import MEMORY

if TYPE_CHECKING:
    from distributed import Client

_SAID_WITHIN = 2.0
"""Seconds that a nanny gets to say so after its worker has left."""


class Memory:
    """Remembers the workers' limits, which Dask forgets when they leave."""

    def __init__(self, client: Client) -> None:
        """Takes the client; all runs on its loop."""
        self._client = client
        self._workers: dict[str, dict[str, Any]] = {}

    async def look(self) -> set[str]:
        """Notes the workers that are there, and returns their addresses."""
        there = (await ask_scheduler(self._client, "identity"))["workers"]
        self._workers.update(there)
        return set(there)

    async def lacking(self, addresses: Sequence[str]) -> dict[str, str]:
        """Returns for each worker that left, or is paused, what is known of why."""
        there = await self.look()
        reasons = {}
        for address in there.intersection(addresses):
            paused, used, _ = memory_of(self._workers[address])
            if paused:
                reasons[address] = self._short(address, used)
        left = [address for address in addresses if address not in there]
        deadline = time.monotonic() + _SAID_WITHIN
        while left:
            events = await ask_scheduler(self._client, "events", topic=ENDED_FOR_MEMORY)
            ended = {event["worker"]: event["rss"] for _, event in events}
            late = time.monotonic() > deadline
            if late or ended.keys() >= set(left):
                short = {a: self._short(a, ended[a]) for a in left if a in ended}
                return {**reasons, **dict.fromkeys(left, LEFT), **short}
            await asyncio.sleep(_SAID_WITHIN / 10)
        return reasons

    def _short(self, address: str, used: float) -> str:
        known = self._workers.get(address)
        limit = 0 if known is None else memory_of(known)[2]
        said = (
            f"it had {bytes_text(used)} in use of the {bytes_text(limit)} that "
            "--memory-limit allows"
        )
        if limit >= MEMORY["tensorflow"]:
            return said
        return (
            f"{said}, while TensorFlow takes {bytes_text(MEMORY['tensorflow'])}, and "
            f"--engine light {bytes_text(MEMORY['light'])}, before any kernel"
        )
