"""Letting this package's errors out of Keras's loops as what they are.

``predict`` and the like run in a TensorFlow graph, which turns whatever Python
raises in it into an ``UnknownError`` with the traceback as text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import keras
import tensorflow as tf

from fcdcc_keras.execution.records import Policy

_LOOPS = (
    "fit",
    "evaluate",
    "predict",
    "train_on_batch",
    "test_on_batch",
    "predict_on_batch",
)


def raise_own_errors(model: keras.Model, policy: Policy) -> None:
    """Has a model's loops raise what its coded layers raised.

    Args:
        model: The coded model.
        policy: Remembers the last error of its layers.
    """
    for name in _LOOPS:
        loop = getattr(model, name)
        loop = getattr(loop, "plain", loop)  # it may have had another policy
        setattr(model, name, _with_own_errors(loop, policy))


def _with_own_errors(loop: Callable[..., Any], policy: Policy) -> Callable[..., Any]:
    @wraps(loop)
    def run(*args: Any, **kwargs: Any) -> Any:
        policy.error = None
        try:
            return loop(*args, **kwargs)
        except tf.errors.OpError as error:
            if policy.error is None:
                raise
            raise policy.error from error

    run.plain = loop  # type: ignore[attr-defined]
    return run
