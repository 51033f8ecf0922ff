"""How a worker loads TensorFlow: with its own threads, and without Keras."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from fcdcc_keras.dask_worker_internals import threads_of_this_worker

_LEGACY = "TF_USE_LEGACY_KERAS"
"""Has TensorFlow look for Keras 2, which is not there, instead of loading Keras 3."""
_loading = Lock()


def prepare_tensorflow() -> None:
    """Loads TensorFlow and gives it the threads of this Dask worker.

    To be called before anything else uses it. Does nothing outside of a worker, or
    where TensorFlow has already started.
    """
    threads = threads_of_this_worker()
    if threads is None:
        return
    with _loading, _without_keras():
        import tensorflow as tf

    try:
        if tf.config.threading.get_intra_op_parallelism_threads() == 0:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return  # TensorFlow runs already, by the worker's own preload


@contextmanager
def _without_keras() -> Iterator[None]:
    """Has TensorFlow load Keras only when ``tf.keras`` is asked for.

    No subtask does, and Keras takes longer to load than TensorFlow itself, with all
    that it imports where that is installed: scikit-learn, SciPy and Matplotlib.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    before = os.environ.get(_LEGACY)
    os.environ[_LEGACY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_LEGACY]
        else:
            os.environ[_LEGACY] = before
