"""Stretches of a model: the parts of its graphs that programs can compute.

A graph's operations are its nodes, in an order in which each comes after all that it
reads. From a value on, nodes that read but that value, or what other such nodes yield,
make a part of the graph with one entry. Where nobody outside reads any value within,
a part of these ends with one exit as well: that is a stretch. The largest is taken.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.layers.kinds import known_class
from fcdcc_keras.partition.stretch import Stretch, crossings
from fcdcc_keras.programs.program import DTYPES
from fcdcc_keras.rewriting.keras_internals import layers_inside, origin
from fcdcc_keras.rewriting.programs import Writer, use
from fcdcc_keras.rewriting.walk import is_graph, walk

Size = tuple[int, ...]
_ANY = 1024
"""Rows and columns that an input is taken to have while they are not known."""
_KEPT = 8
"""Sizes whose programs a site remembers."""
_FLOATING = {"float64", "float32", "float16", "bfloat16"}


class Site:
    """A stretch of a model's graph, whatever its size: where programs come from."""

    def __init__(
        self, graph: str, entry: Any, exit: Any, dtype: str, paths: Mapping[int, str]
    ) -> None:
        """Takes the stretch between two tensors.

        Args:
            graph: Path of the model in whose graph it stands.
            entry: The symbolic tensor that it reads.
            exit: That which it yields.
            dtype: Of all values within.
            paths: Of layers, models and operators, by ``id``.
        """
        self.graph = graph
        """As ``partition.stretch.Stretch`` has it."""
        self.dtype = dtype
        """float32 or float64."""
        self._between = entry, exit
        self._paths = paths
        self.entry = self._path(origin(entry))
        """Path of the layer whose output it reads."""
        self.exit = self._path(origin(exit))
        """Path of the layer whose output it yields."""
        size = tuple(entry.shape[1:-1])
        self.size = None if None in size else size
        """Of its input between images and channels, (H, W); None: not known."""
        writer = self._written(tuple(rows or _ANY for rows in size))
        self.layers = tuple(self._path(operation) for operation, _ in writer.steps)
        """Paths of all layers that it computes, in order; of operators, too."""
        self.multiplies = any(known_class(type(layer)) for layer in writer.layers)
        """Whether it has a convolution or a matrix product."""
        unique = {id(w): w for layer in writer.layers for w in layer.weights}
        self._variables = list(unique.values())
        self._lock = threading.Lock()
        self._stretches: OrderedDict[Size, Stretch] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Site {self.entry!r} to {self.exit!r} of {self.graph!r}>"

    def at(self, size: Size) -> Stretch:
        """Returns the stretch for a size of its input.

        Args:
            size: Between images and channels, (H, W).

        Raises:
            PlanError: It has no such input.
        """
        with self._lock:
            if size not in self._stretches:
                self._stretches[size] = self._stretch(size)
                if len(self._stretches) > _KEPT:
                    self._stretches.popitem(last=False)
            self._stretches.move_to_end(size)
            return self._stretches[size]

    def variables(self) -> list[Any]:
        """Returns the Keras variables that the program's weights are made of."""
        return list(self._variables)

    def arrays(self, values: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """Returns the program's weights.

        Args:
            values: Of the variables, in their order; as they are now, if not given.
        """
        size = self.size or (_ANY,) * (len(self._between[0].shape) - 2)
        given: Any = nullcontext()
        if values is not None:
            pairs = zip(self._variables, values, strict=True)
            given = keras.StatelessScope(state_mapping=pairs)
        with given:
            return self._written(size).arrays()

    def _stretch(self, size: Size) -> Stretch:
        writer = self._written(size)
        program = writer.program()
        many = Counter(self._path(operation) for operation, _ in writer.steps)
        at = set(crossings(program))
        last = {
            value: self._path(operation)
            for operation, value in writer.steps
            if value in at
        }
        last[len(writer.shapes) - 1] = self.exit
        ends = tuple((last[v], v) for v in sorted(last) if many[last[v]] == 1)
        return Stretch(self.graph, self.entry, program, size, ends)

    def _written(self, size: Size) -> Writer:
        entry, exit_ = self._between
        writer = Writer([(1, *size, entry.shape[-1])], self.dtype)
        writer.stretch([entry], exit_)
        return writer

    def _path(self, operation: Any) -> str:
        return self._paths[id(operation)]


def sites(model: keras.Model) -> list[Site]:
    """Returns the largest stretches of a model's graphs that programs can compute.

    Nested graphs that lie in a stretch wherever they are used have none of their own.
    One without a convolution or a matrix product is none.

    Args:
        model: A built model. Its weights are not read.
    """
    graphs = {
        path: _Graph(path, one)
        for path, one in (("", model), *walk(model))
        if isinstance(one, keras.Model) and is_graph(one) and hasattr(one, "outputs")
    }
    paths = {id(one): path for path, one in walk(model)}
    for graph in graphs.values():
        paths = graph.names | paths
    own = {id(graph.model): graph for graph in graphs.values()}
    used = {id(node.operation) for graph in own.values() for node in graph.nodes}
    # Whoever is in no graph runs by itself; then those that it runs outside stretches.
    waiting = [graph for key, graph in own.items() if key not in used]
    found: dict[str, list[Site]] = {}
    while waiting:
        graph = waiting.pop()
        if graph.path in found:
            continue
        every = [
            Site(graph.path, entry, exit_, dtype, paths)
            for entry, exit_, dtype in graph.stretches()
        ]
        found[graph.path] = [site for site in every if site.multiplies]
        waiting += [
            own[id(node.operation)]
            for node in graph.outside()
            if id(node.operation) in own
        ]
    return [site for path in graphs for site in found.get(path, ())]


@dataclass(frozen=True)
class _Node:
    """A use of a layer, a model or an operator in a graph."""

    operation: Any
    reads: list[Any]
    """Symbolic tensors."""
    yields: list[Any]


@dataclass(frozen=True)
class _Part:
    """What a value is made of, from an entry on; nodes are bits of an integer."""

    nodes: int = 0
    readers: int = 0
    """Of the values between the entry and it."""


class _Graph:
    """The nodes of a model's graph, and the stretches among them."""

    def __init__(self, path: str, model: Any) -> None:
        self.path = path
        self.model = model
        self.nodes = list(_nodes(model))
        uses = Counter(id(node.operation) for node in self.nodes)
        prefix = f"{path}/" if path else ""
        self.names = {
            id(node.operation): f"{prefix}{node.operation.name}" for node in self.nodes
        }
        self._named = {
            id(node.yields[0])
            for node in self.nodes
            if len(node.yields) == 1 and uses[id(node.operation)] == 1
        }
        """Values that a layer's path names."""
        self._types = [_type(node) for node in self.nodes]
        self._readers = Counter[int]()
        for number, node in enumerate(self.nodes):
            for key in {id(one) for one in node.reads}:
                self._readers[key] |= 1 << number
        for output in model.outputs:
            self._readers[id(output)] |= 1 << len(self.nodes)
        self._taken = 0
        """Nodes that are in a stretch, as bits."""

    def stretches(self) -> Iterator[tuple[Any, Any, str]]:
        """Yields entry, exit and dtype of each stretch."""
        ends: set[int] = set()
        for number, node in enumerate(self.nodes):
            for entry in node.yields:
                inside = self._taken >> number & 1 and id(entry) not in ends
                if inside or id(entry) not in self._named:
                    continue
                while (found := self._largest(number, entry)) is not None:
                    exit_, part, dtype = found
                    self._taken |= part.nodes
                    ends.add(id(exit_))
                    yield entry, exit_, dtype

    def _largest(self, number: int, entry: Any) -> tuple[Any, _Part, str] | None:
        """Returns the largest part that begins with a value: its exit, and its type."""
        parts, dtype = {id(entry): _Part()}, ""
        best: tuple[Any, _Part] | None = None
        for later in range(number + 1, len(self.nodes)):
            node, kind = self.nodes[later], self._types[later]
            if (
                not kind
                or self._taken >> later & 1
                or (dtype and kind != dtype)
                or any(id(one) not in parts for one in node.reads)
            ):
                continue
            dtype = kind
            nodes, readers = 1 << later, 0
            for one in node.reads:
                nodes |= parts[id(one)].nodes
                readers |= parts[id(one)].readers
                readers |= 0 if one is entry else self._readers[id(one)]
            parts |= {id(one): _Part(nodes, readers) for one in node.yields}
            # A value that nobody reads has no part in a stretch.
            exit_ = node.yields[0]
            closed = not readers & ~nodes and id(exit_) in self._named
            if closed and (
                best is None or nodes.bit_count() > best[1].nodes.bit_count()
            ):
                best = exit_, parts[id(exit_)]
        return None if best is None else (*best, dtype)

    def outside(self) -> list[_Node]:
        """Returns the nodes that are in no stretch."""
        every = enumerate(self.nodes)
        return [node for number, node in every if not self._taken >> number & 1]


def _nodes(model: Any) -> Iterator[_Node]:
    """Yields the nodes of a model's graph, each after those that it reads."""
    known: set[int] = set()
    for tensor in model.inputs:
        known.add(id(tensor))
        yield _Node(origin(tensor), [], [tensor])
    waiting = list(model.outputs)
    while waiting:  # a graph may be deeper than Python's stack
        tensor = waiting[-1]
        if id(tensor) in known:
            waiting.pop()
            continue
        operation = origin(tensor)
        reads, yields = use(operation, tensor)
        missing = [one for one in reads if id(one) not in known]
        if missing:
            waiting += missing
            continue
        known.update(map(id, yields))
        yield _Node(operation, reads, yields)


def _type(node: _Node) -> str:
    """Returns the type in which a program computes a node; "" where none does."""
    (dtype, *others) = {one.dtype for one in node.yields}
    read = {one.dtype for one in node.reads}
    casts = isinstance(node.operation, keras.layers.Layer) and read <= _FLOATING
    if (
        others
        or dtype not in DTYPES
        or not node.reads
        or not (casts or read == {dtype})
    ):
        return ""
    if any(len(one.shape) < 2 or one.shape[-1] is None for one in node.reads):
        return ""
    if _watched(node.operation):
        return ""
    shapes = [tuple(rows or _ANY for rows in one.shape[1:-1]) for one in node.reads]
    inputs = [
        (1, *size, one.shape[-1]) for size, one in zip(shapes, node.reads, strict=True)
    ]
    writer = Writer(inputs, dtype)
    numbers = {id(one): number for number, one in enumerate(node.reads)}
    try:
        writer.graph(numbers, node.yields)
    except FcdccError:
        return ""
    return str(dtype)


def _watched(operation: Any) -> bool:
    """Returns whether a loss depends on what a layer, or one inside, yields."""
    if not isinstance(operation, keras.layers.Layer):
        return False
    return any(
        getattr(layer, "activity_regularizer", None) is not None
        for layer in (operation, *layers_inside(operation, recursive=True))
    )
