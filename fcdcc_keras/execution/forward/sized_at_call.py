"""A coded layer whose input's height and width are known only when it is called."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.forward.session import Session
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan

MOST_SIZES = 256
"""Sizes whose plan is remembered; those not seen for longest are planned again."""
MOST_CODES = 3
"""Codes of one layer whose kernel shares the workers hold. Further sizes take the best
of these."""

PlanAtCall = Callable[[ConvGeometry, Code | None], tuple[LayerPlan, bool]]
"""Gives the plan for a size, under the code that is given or any, and whether the
workers are to compute it."""


class SizedAtCall:
    """A convolution that is planned at the first call for each height and width."""

    def __init__(
        self, geometry: ConvGeometry, plan: PlanAtCall, session: Session
    ) -> None:
        """Takes the layer's sizes, of which H and W do not count, and how to plan."""
        self._geometry = geometry
        self._plan = plan
        self._session = session
        self._lock = threading.Lock()
        self._by_size: OrderedDict[tuple[int, ...], CodedConvolution] = OrderedDict()
        self._by_code: dict[Code, CodedConvolution] = {}
        self._local: CodedConvolution | None = None
        self._detached = False

    @property
    def plans(self) -> tuple[LayerPlan, ...]:
        """One plan for each code that is in use."""
        with self._lock:
            return tuple(coded.plan for coded in self._by_code.values())

    def __call__(self, inputs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Returns the convolution; see ``CodedConvolution``.

        Raises:
            PlanError: No code is exact enough for this size.
            NotEnoughWorkersError: Too few workers answered in time, and the
                policy's fallback is "raise".
        """
        with self._lock:
            coded = self._coded(inputs.shape[1:-1])
        return coded(inputs, kernel)

    def detach(self) -> None:
        """Frees the shares; from now on the client computes the layer itself."""
        with self._lock:
            self._detached = True
            for coded in self._by_code.values():
                coded.detach()

    def _coded(self, size: tuple[int, ...]) -> CodedConvolution:
        if size not in self._by_size:
            self._by_size[size] = self._planned(
                replace(self._geometry, input_size=size)
            )
            if len(self._by_size) > MOST_SIZES:
                self._by_size.popitem(last=False)
        self._by_size.move_to_end(size)
        return self._by_size[size]

    def _planned(self, geometry: ConvGeometry) -> CodedConvolution:
        plan, gains = self._plan(geometry, None)
        if self._detached or not gains:
            if self._local is None:
                local = self._session.add(plan)
                local.detach()
                self._local = local
            return self._local
        if plan.code not in self._by_code and len(self._by_code) >= MOST_CODES:
            held = [self._plan(geometry, code)[0] for code in self._by_code]
            plan = min(held, key=lambda one: one.cost.price)
        if plan.code not in self._by_code:
            self._by_code[plan.code] = self._session.add(plan)
        return self._by_code[plan.code]
