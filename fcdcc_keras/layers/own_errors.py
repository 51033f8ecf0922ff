"""Letting this package's errors out of TensorFlow's graphs as what they are.

TensorFlow turns whatever Python raises in a graph into an ``UnknownError`` that has it
as text. A mark in that text says which error it was, so that whoever runs the graph, a
model's ``predict`` or ``fit`` or a function of the user's, gets that one.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import uuid4

import tensorflow as tf

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.layers.tensorflow_internals import make_unknown_errors

_REMEMBERED = 1024
"""Errors of which TensorFlow may be about to tell. Of those that it raises none for,
since another ended the call first, the oldest are forgotten."""
_MARK = re.compile("fcdcc-error-[0-9a-f]{32}")
# Not the errors themselves: their tracebacks hold all that the layers computed with.
_raised: OrderedDict[str, tuple[Any, str]] = OrderedDict()


class InGraph(Exception):
    """Takes the mark of an error through a graph."""


@contextmanager
def marked() -> Iterator[None]:
    """Marks this package's errors on their way into TensorFlow."""
    try:
        yield
    except FcdccError as error:
        mark = f"fcdcc-error-{uuid4().hex}"
        _raised[mark] = type(error), str(error)
        if len(_raised) > _REMEMBERED:
            _raised.popitem(last=False)
        raise InGraph(f"{mark}: {error}") from error


@cache
def let_marked_out() -> None:
    """Has TensorFlow raise what was marked where it makes an ``UnknownError``.

    TensorFlow offers no other way: the classes of its errors are fixed.
    """

    def new(kind: type[BaseException], *args: Any, **_: Any) -> BaseException:
        own = next(filter(None, map(_own, args)), None)
        # Of a subclass, for Python initializes, and C raises, no others.
        return Exception.__new__(_as_unknown(own[0]) if own else kind, *args)

    make_unknown_errors(new)


def _own(text: object) -> tuple[Any, str] | None:
    """Returns the type and message of the error whose mark a text has, if any."""
    mark = _MARK.search(text) if isinstance(text, str) else None
    return None if mark is None else _raised.get(mark[0])


@cache
def _as_unknown(own: Any) -> type[FcdccError]:
    """Returns an error's type such that TensorFlow may raise it for an unknown one."""

    def init(self: Any, node: Any, op: Any, message: str, *more: Any) -> None:
        _, message = _own(message) or (own, message)
        tf.errors.UnknownError.__init__(self, node, op, message, *more)
        self.args = (message,)

    def reduce(self: Any) -> Any:
        return own, (self.message,)

    body = {"__init__": init, "__reduce__": reduce, "__module__": own.__module__}
    return type(own.__name__, (own, tf.errors.UnknownError), body)
