"""What it costs to notice that weights have changed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.figures.estimate import median
from benchmarks.figures.figure import Outcome
from benchmarks.figures.models import build
from benchmarks.figures.run import Run

_WARM_UP = 3


def check_per_pass(run: Run) -> Outcome:
    """Measures ``weights_check_ms_per_pass``: no workers are needed for it."""
    import fcdcc_keras as fk

    rounds = run.rounds(50, _WARM_UP)
    executor = fk.LocalExecutor(2)
    with fk.closing(fk.distribute(build("VGG16"), executor, stragglers=0)) as coded:
        layers = [layer for layer in coded.layers if isinstance(layer, fk.CodedConv2D)]
        # Copies, as a pass hands them over: not the memory that they are compared to.
        kernels = [np.array(layer.kernel_array()) for layer in layers]
        coded_layers: list[Any] = [layer.coded for layer in layers]
        pairs = list(zip(coded_layers, kernels, strict=True))
        held = [layer.place(kernel) for layer, kernel in pairs]
        seconds = []
        for _ in range(_WARM_UP + rounds):
            start = time.perf_counter()
            now = [layer.place(kernel) for layer, kernel in pairs]
            seconds.append(time.perf_counter() - start)
            assert all(a is b for a, b in zip(held, now, strict=True))
            run.step()
    megabytes = sum(kernel.nbytes for kernel in kernels) / 1e6
    estimate = median(seconds[_WARM_UP:]).scaled(1e3)
    parts = {
        "layers": len(layers),
        "kernels_mb": megabytes,
        "gb_per_second": megabytes / estimate.value,
    }
    return Outcome(estimate, rounds, None, parts)
