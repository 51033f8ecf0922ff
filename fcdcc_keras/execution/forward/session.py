"""What one distributed model holds: its executor, its layers, its policy."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue

import numpy as np

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.forward.cutting import At
from fcdcc_keras.execution.forward.stretch import Arrays, DistributedStretch
from fcdcc_keras.execution.records import Notes, Policy
from fcdcc_keras.planning import LayerPlan
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.planning.chains.tile_time import Rates

logger = logging.getLogger(__name__)

READY_WITHIN = 10.0
"""Seconds that workers get to run their programs once, before anybody predicts."""
Placed = CodedConvolution | DistributedStretch
"""What has weights on the workers."""


class Session:
    """Lives as long as a layer of the model does, or until it is closed."""

    def __init__(
        self, executor: Executor, cleanup: Callable[[], None], policy: Policy
    ) -> None:
        self.executor = executor
        self.policy = policy
        self.notes = Notes()
        self.not_coded: tuple[tuple[str, str], ...] = ()
        """(path, reason) of each layer that was not converted."""
        self.users: weakref.WeakSet[object] = weakref.WeakSet()
        """The Keras layers that it is held for."""
        self._layers: list[Placed] = []
        self._closing = threading.RLock()
        # The finalizer must not refer to the session, or it would never run.
        self._finalizer = weakref.finalize(self, _end_later, self._layers, cleanup)
        self._finalizer.atexit = False  # threads cannot be trusted then
        _await_the_collected()
        _close_at_exit(self)

    @property
    def closed(self) -> bool:
        """Whether nothing is held any more."""
        return not self._finalizer.alive

    def add(self, plan: LayerPlan) -> CodedConvolution:
        """Returns the coded convolution of one layer; nothing is placed yet.

        Once the session is closed it computes in the client.
        """
        layer = CodedConvolution(plan, self.executor, self.policy, self.notes)
        self._keep(layer)
        return layer

    def add_stretch(
        self,
        plan: StretchPlan,
        at: At,
        arrays: Arrays,
        stragglers: int,
        rates: Rates | None = None,
    ) -> DistributedStretch:
        """Returns a stretch in tiles; nothing is placed yet. See ``add``.

        Args:
            plan: Its chains.
            at: The stretch.
            arrays: Its weights.
            stragglers: γ.
            rates: What tiles are chosen by; default: ``Rates()``.
        """
        stretch = DistributedStretch(
            plan,
            at,
            arrays,
            self.executor,
            self.policy,
            self.notes,
            stragglers,
            rates,
        )
        self._keep(stretch)
        return stretch

    def place(self, layer: CodedConvolution, kernel: np.ndarray) -> None:
        """Gives every worker its share of a layer for the first time.

        Args:
            layer: What ``add`` gave.
            kernel: K, shape ``(K_H, K_W, C, N)``.

        Raises:
            ClusterError: A worker did not take its share.
        """
        layer.place(kernel, wait=True)
        self._check_placed(layer)

    def place_stretch(
        self, stretch: DistributedStretch, values: Sequence[np.ndarray]
    ) -> None:
        """Gives every worker the weights of a stretch for the first time.

        Args:
            stretch: What ``add_stretch`` gave.
            values: What the model's variables hold.

        Raises:
            ClusterError: A worker did not take them.
        """
        stretch.place(values, wait=True)
        self._check_placed(stretch)
        stretch.rehearse(values, READY_WITHIN)

    def too_few(self) -> int | None:
        """Returns how many workers are left, if a layer needs more."""
        needed = [layer.needed for layer in self._layers]
        if self.closed or not needed:
            return None
        left = self.executor.left(look=True)
        return left if left < max(needed) else None

    def _keep(self, layer: Placed) -> None:
        """Has a layer be closed with the session, or now if that is closed."""
        with self._closing:
            if self.closed:
                layer.detach()
            else:
                self._layers.append(layer)

    def _check_placed(self, layer: Placed) -> None:
        for placement in layer.placements:
            lacking = [
                address
                for slot, address in enumerate(self.executor.addresses)
                if placement.place(slot, address) not in placement.held
            ]
            if lacking:
                raise ClusterError(
                    "Every worker must take its kernel shares when a model is "
                    f"distributed. Received: layer {placement.name!r} is held by "
                    f"{len(placement.held)} of {self.executor.workers} workers, and "
                    f"not by {', '.join(lacking)}. Check these workers' logs and "
                    "memory, or distribute over fewer workers."
                )

    def left_by(self, layer: object) -> None:
        """Takes note that a layer has another session; without any, closes."""
        self.users.discard(layer)
        if not self.users:
            self.close()

    def close(self) -> None:
        """Frees what the workers hold; ends a cluster that was started for it."""
        with self._closing:
            pending = self._finalizer.peek()
            if pending is not None:
                _end(self._layers, pending[2][1])
                self._finalizer.detach()  # not before: it may be interrupted


EXIT_TIMEOUT = 10.0
"""Seconds that each model gets to end what it holds when Python exits."""
_open: weakref.WeakSet[Session] = weakref.WeakSet()


def _close_at_exit(session: Session) -> None:
    if not _open:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open.add(session)


def _close_all() -> None:
    # An interrupt may have left a lock taken anywhere; exit must not wait for it.
    for session in list(_open):
        closing = threading.Thread(target=session.close, daemon=True)
        closing.start()
        closing.join(EXIT_TIMEOUT)
    if _is_ending():
        ended = threading.Event()
        _collected.put(ended.set)
        ended.wait(EXIT_TIMEOUT)


def _end(layers: list[Placed], cleanup: Callable[[], None]) -> None:
    try:
        for layer in layers:
            layer.detach()
        layers.clear()
    finally:
        cleanup()


_collected: SimpleQueue[Callable[[], None]] = SimpleQueue()
"""What ends sessions that the garbage collector found."""
_ending: list[threading.Thread] = []
"""The thread that does so."""


def _end_later(layers: list[Placed], cleanup: Callable[[], None]) -> None:
    # The garbage collector calls this in whichever thread it runs, within any
    # statement, even on the loop that ending must wait for. It must take no lock
    # which that thread may hold, and starting a thread takes some.
    _collected.put(partial(_end, layers, cleanup))


def _is_ending() -> bool:
    # In a process that was forked it is not.
    return any(thread.is_alive() for thread in _ending)


def _await_the_collected() -> None:
    if not _is_ending():
        thread = threading.Thread(target=_end_them, name="fcdcc-end", daemon=True)
        _ending[:] = [thread]
        thread.start()


def _end_them() -> None:
    while True:
        try:
            _collected.get()()
        except Exception:
            logger.exception("A model that is gone could not be closed")
