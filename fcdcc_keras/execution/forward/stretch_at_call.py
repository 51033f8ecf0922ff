"""A stretch whose input's height and width are known only when it is called."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from fcdcc_keras.execution.forward.cutting import At
from fcdcc_keras.execution.forward.session import Session
from fcdcc_keras.execution.forward.sized_at_call import MOST_SIZES
from fcdcc_keras.execution.forward.stretch import Arrays, DistributedStretch
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.planning.chains.tile_time import Rates

MOST_CUTS = 3
"""Ways to cut one stretch into chains whose weights the workers hold. Further sizes
are cut as the one before."""

PlanStretch = Callable[[Stretch], StretchPlan]
"""Gives the plan for a size."""
_Cut = tuple[tuple[str, str, bool, bool], ...]


class StretchAtCall:
    """A stretch that is planned at the first call for each height and width."""

    def __init__(
        self,
        at: At,
        arrays: Arrays,
        plan: PlanStretch,
        session: Session,
        stragglers: int,
        rates: Rates | None = None,
    ) -> None:
        """Takes the stretch, how to plan it, and where; see ``Session.add_stretch``."""
        self._at, self._arrays = at, arrays
        self._plan = plan
        self._session = session
        self._terms = stragglers, rates
        self._lock = threading.Lock()
        self._by_size: OrderedDict[tuple[int, ...], _Cut] = OrderedDict()
        self._by_cut: OrderedDict[_Cut, DistributedStretch] = OrderedDict()
        self._detached = False

    @property
    def plans(self) -> tuple[StretchPlan, ...]:
        """One plan for each way of cutting that is in use."""
        with self._lock:
            return tuple(stretch.plan for stretch in self._by_cut.values())

    def __call__(self, inputs: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        """Returns what the stretch yields; see ``DistributedStretch``.

        Raises:
            PlanError: There is no such stretch for this size.
            NotEnoughWorkersError: Too few workers answered in time, and the policy's
                fallback is "raise".
        """
        with self._lock:
            stretch = self._of(inputs.shape[1:-1])
        return stretch(inputs, values)

    def detach(self) -> None:
        """Frees the weights; from now on the client computes it."""
        with self._lock:
            self._detached = True
            for stretch in self._by_cut.values():
                stretch.detach()

    def _of(self, size: tuple[int, ...]) -> DistributedStretch:
        if size not in self._by_size:
            self._by_size[size] = self._planned(size)
            if len(self._by_size) > MOST_SIZES:
                self._by_size.popitem(last=False)
        self._by_size.move_to_end(size)
        cut = self._by_size[size]
        self._by_cut.move_to_end(cut)
        return self._by_cut[cut]

    def _planned(self, size: tuple[int, ...]) -> _Cut:
        stretch = self._at(size)
        if self._by_cut and (self._detached or len(self._by_cut) >= MOST_CUTS):
            return next(reversed(self._by_cut))
        plan = self._plan(stretch)
        cut = tuple((c.to, c.place, c.hedged, c.exchange) for c in plan.chains)
        if cut not in self._by_cut:
            added = self._session.add_stretch(
                plan, self._at, self._arrays, *self._terms
            )
            if self._detached:
                added.detach()
            self._by_cut[cut] = added
        return cut
