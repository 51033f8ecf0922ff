"""What the scheduler tells a client at once: who comes, who goes, who is about to.

By events of Dask's, of which a client can have one listener for each topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from fcdcc_keras.worker.farewell import NEWS

if TYPE_CHECKING:
    from distributed import Client


class Hearing(Protocol):
    """Whoever wants to know."""

    def hear(self, news: Mapping[str, Any]) -> None:
        """Is called with each piece of news, on the client's loop."""


_hearing: WeakKeyDictionary[Client, WeakSet[Hearing]] = WeakKeyDictionary()


def listen(client: Client, listener: Hearing) -> None:
    """Has somebody told all news from now on, for as long as it is there."""
    listeners = _hearing.get(client)
    if listeners is None:
        listeners = _hearing[client] = WeakSet()

        def tell(event: tuple[float, Any]) -> None:
            news = event[1]
            # A worker may send any: what it says must not end the client's listening.
            if isinstance(news, Mapping):
                for each in list(listeners):
                    each.hear(news)

        client.subscribe_topic(NEWS, tell)
    listeners.add(listener)


def ignore(client: Client, listener: Hearing) -> None:
    """Has it told no more."""
    _hearing.get(client, WeakSet()).discard(listener)
