"""NumPy's BLAS: using it, and keeping its threads from spinning beside the workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_lock = threading.Lock()
_inside = 0
_limiter: Any = None


def multiply(factors: np.ndarray, known: np.ndarray, out: np.ndarray) -> None:
    """Multiplies a matrix with each of a stack, all with contiguous rows.

    Args:
        factors: Shape ``(m, k)``.
        known: Shape ``(B, k, columns)``.
        out: Shape ``(B, m, columns)``, set to the products.
    """
    # What is not finite is judged where the results are checked.
    with np.errstate(over="ignore", invalid="ignore"):
        if factors.shape[1] == 1:
            # NumPy gives outer products to a slow loop of its own, not to BLAS.
            np.multiply(factors, known, out=out)
        else:
            np.matmul(factors, known, out=out)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Runs NumPy's matrix products on the calling thread alone.

    OpenBLAS leaves its threads spinning after a product; local workers on the
    same cores ran at half their speed. The limit holds for the whole process
    while any thread is inside, and the old number comes back with the last one.
    """
    global _inside, _limiter
    from threadpoolctl import ThreadpoolController

    with _lock:
        if _inside == 0:
            _take_control()
            _limiter = _controller(ThreadpoolController).limit(
                limits=1, user_api="blas"
            )
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _take_control()
                _limiter.restore_original_limits()
                _take_control()


def _take_control() -> None:
    # Newer threadpoolctl lets only the first thread that set a limit set others,
    # until that thread ends. Here the last to leave is seldom the first that came.
    import threadpoolctl

    control: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(control, "clear_controlling_thread"):
        control.clear_controlling_thread(force=True)


_known: Any = None


def _controller(make: Any) -> Any:
    global _known
    if _known is None:
        _known = make()  # finding the loaded libraries takes milliseconds
    return _known
