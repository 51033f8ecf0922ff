"""What moves shares, subtasks and results between the client and its workers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import numpy as np

from fcdcc_keras.dask_internals import own_address
from fcdcc_keras.wire.requests import PlainRequests
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.weights import Weights
from fcdcc_keras.worker.zeros import without_zeros

if TYPE_CHECKING:
    from distributed import Client, Future


Share = np.ndarray | tuple[np.ndarray, ...]
"""A worker's weights of a layer or a chain: an array, or several."""
KERNEL = "fcdcc:kernel:"
"""What the keys of all kernel shares begin with."""


@dataclass(frozen=True)
class Exchanged:
    """What a worker does with its tile of a chain, until it has one of the last."""

    name: str
    """Of the exchange; no other has it."""
    tile: int
    """Number of its tile."""
    patience: float
    """Seconds for which it waits for what others are to give it."""
    stages: bytes
    """See ``worker.stages``."""
    shares: tuple[Any, ...]
    """The futures that stand for the weights of the chains that follow."""


@dataclass(frozen=True)
class Subtask:
    """One worker's part of a layer, or of a chain of layers."""

    address: str
    share: Any
    """The future that stands for the coded kernel in the worker's memory. As a Dask
    task, a subtask can have the ``Weights`` itself."""
    coded: np.ndarray
    """What it is computed from: of a coded layer ``(ℓ_A·B, Ĥ, W, C)``, or a tile's."""
    result_nbytes: int
    """Bytes that the worker's result must have."""
    program: str
    """The text of what computes it."""
    after: Exchanged | None = None
    """What follows, where workers exchange halos."""
    sparse: bool = False
    """Whether zeros are left out of what it is computed from, and of its result, where
    they are many and it is sent to another machine."""

    @cached_property
    def without_zeros(self) -> np.ndarray | None:
        """What is sent of that in its place, if it is to be; see ``worker.zeros``."""
        return without_zeros(self.coded) if self.sparse else None

    @property
    def sent(self) -> int:
        """Bytes that are sent of what it is computed from."""
        sent = self.coded if self.without_zeros is None else self.without_zeros
        return sent.nbytes


class Transport(ABC):
    """Moves shares, subtasks and results through a client. Runs on its loop."""

    name: ClassVar[str]
    """What the user calls it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.requests = PlainRequests(client)
        self._token = uuid4().hex[:8]
        self._count = 0

    @property
    def way(self) -> str:
        """How subtasks reach the workers at present, as the trace names it."""
        return self.name

    async def place(self, name: str, address: str, share: Share) -> Future[Any]:
        """Puts a coded kernel, or a chain's weights, into a worker's memory.

        Scattered data belongs to this client: Dask frees it when the client goes.

        Returns:
            The future that holds it there; to be released to free the memory.
        """
        return await self._scatter(name, address, share, False)

    async def _scatter(
        self, name: str, address: str, share: Share, direct: bool
    ) -> Future[Any]:
        key = self._key("kernel", name, address)
        # Within a task of Dask's own, which a context tells of, it would put the share
        # into the memory of that task's worker, whatever `workers` says.
        placing = Context().run(
            self._client.scatter,
            {key: Weights(*share) if isinstance(share, tuple) else Weights(share)},
            workers=[address],
            direct=direct,
            asynchronous=True,
        )
        future: Future[Any] = (await placing)[key]
        return future

    def start(
        self, name: str, subtasks: Sequence[Subtask]
    ) -> list[asyncio.Task[Reply]]:
        """Sends one subtask to each worker, and to no other.

        Returns:
            What ends with each worker's reply, or with the reason why there will be
            none; while the worker is silent it does not end. Never raises.
        """
        return [
            asyncio.ensure_future(_reply(sent)) for sent in self.send(name, subtasks)
        ]

    @abstractmethod
    def send(
        self, name: str, subtasks: Sequence[Subtask]
    ) -> list[Coroutine[Any, Any, Reply]]:
        """Sends subtasks; gives what returns each reply, or raises."""

    def memory(self, nbytes: int) -> np.ndarray | None:
        """Returns ``(nbytes,)`` bytes that are sent from at less cost, or None."""
        return None

    def leaves_zeros(self, address: str, nbytes: int) -> bool:
        """Returns whether zeros can be left out of what is sent to a worker.

        Args:
            address: The worker's.
            nbytes: Of what it is sent and answers.
        """
        return False

    @property
    def exchanges(self) -> bool:
        """Whether workers can give each other what they have computed."""
        return False

    def disband(self, name: str, addresses: Sequence[str]) -> None:
        """Tells workers that an exchange of halos is over: others give no more.

        Args:
            name: Of the exchange.
            addresses: Theirs.
        """

    @abstractmethod
    async def ping(self, address: str) -> str:
        """Returns what Dask calls a worker's process as soon as that answers.

        Even a busy one does; otherwise this raises, or hangs.
        """

    def forget(self, address: str) -> None:
        """Lets go of what there is of a worker's process that is not there any more."""
        self.requests.forget(address)

    async def close(self) -> None:
        """Closes connections."""
        await self.requests.close()

    def _key(self, what: str, name: str, address: str) -> str:
        # Dask's dashboard groups by what stands before the first hyphen.
        self._count += 1
        safe = name.replace("-", "_")
        return f"fcdcc:{what}:{safe}-{self._token}-{self._count}-{address}"


async def _reply(sent: Coroutine[Any, Any, Reply]) -> Reply:
    """Returns a worker's reply: the one place where what keeps it away is caught."""
    try:
        return await sent
    except Exception as error:  # whatever it was, there is no result
        return Reply(error=f"the worker gave no result: {error!r}")


@lru_cache(maxsize=4096)
def on_this_machine(address: str) -> bool:
    """Returns whether a worker's address is one of this machine's own."""
    from distributed.comm import get_address_host  # type: ignore[attr-defined]

    if address.startswith("inproc://"):
        return True
    try:
        host = get_address_host(address)
        # Where a worker has a network of its own, its machine counts as another.
        return own_address(host) == host
    except (OSError, ValueError):
        return False
