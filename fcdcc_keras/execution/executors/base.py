"""What an executor does: hold weights on n workers, and run layers and chains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable

import numpy as np

from fcdcc_keras.coding.exchange import ExchangeJob
from fcdcc_keras.coding.job import Encode, Job, Placement
from fcdcc_keras.coding.tiles import TileJob
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.partition.micro_batches import NEAR, Batching


class Executor(ABC):
    """Runs coded layers and tiles on n workers, numbered from 0 to n − 1."""

    @property
    @abstractmethod
    def addresses(self) -> tuple[str, ...]:
        """Address or name of each worker."""

    @property
    def workers(self) -> int:
        """n."""
        return len(self.addresses)

    def left(self, *, look: bool = False) -> int:
        """Returns how many workers there are: fewer than n where some have left.

        Args:
            look: Whether to ask the cluster first.
        """
        return self.workers

    @property
    def transport_name(self) -> str:
        """How subtasks reach the workers, as the trace names it."""
        return "in process"

    @property
    def batching(self) -> Batching:
        """How far the workers are."""
        return NEAR

    @abstractmethod
    def place(
        self, name: str, encode: Encode, *, wait: bool = False, alike: bool = False
    ) -> Placement:
        """Gives every worker its share of a coded kernel, or a chain's weights.

        Args:
            name: Name of the layer, for people.
            encode: Gives the shares of some slots; of a coded layer
                ``(len(workers), K_H, K_W, C, ℓ_B·⌈N/k_B⌉)``.
            wait: Whether to return only when the workers have them, or will not.
            alike: Whether all shares are the same.

        Returns:
            The placement. A worker that is busy or lost may still lack its share;
            it is given it when it is free again.
        """

    @abstractmethod
    def run(self, job: Job) -> tuple[Collector, list[np.ndarray]]:
        """Sends a layer's coded inputs and collects until they can be decoded.

        Returns:
            The collector, not complete where too few workers answered in time, and
            the results of its survivors, in their order.
        """

    @abstractmethod
    def run_tiles(self, job: TileJob) -> PieceCollector:
        """Sends a chain's tiles and collects their results, which the job keeps.

        Returns:
            The collector, not complete where too few workers answered in time.
        """

    @property
    def exchanges(self) -> bool:
        """Whether workers can give each other what they have computed."""
        return False

    def leaves(self, address: str) -> bool:
        """Returns whether a worker will not be asked any more, or is not known."""
        return False

    def rehearse(
        self,
        job: ExchangeJob,
        *,
        among: Collection[str] | None = None,
        within: float = 0.0,
    ) -> bool:
        """Has workers run their programs of several chains once, that have not yet.

        Args:
            job: What they would compute.
            among: Who may be at it now, half of them at a time; None: all.
            within: Seconds to wait for them.

        Returns:
            Whether all have.
        """
        return True

    def run_exchange(self, job: ExchangeJob) -> PieceCollector:
        """Has workers compute chains one after another, exchanging halos.

        Returns:
            The collector, not complete where one did not do its part in time; without
            records, where it was not tried.
        """
        return PieceCollector(job.pieces(), self.addresses)

    @abstractmethod
    def team(self, kind: Hashable) -> dict[str, float]:
        """Returns who is there and not much slower than most, with their speeds.

        Args:
            kind: Of work, as ``dispatch.pieces.Piece`` has it.
        """

    @abstractmethod
    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""

    @abstractmethod
    def close(self) -> None:
        """Frees everything that this executor holds on its workers."""
