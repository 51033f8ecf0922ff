"""Stretches of a model: the parts of its graphs that programs can compute."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from fcdcc_keras.errors import FcdccError, PlanError
from fcdcc_keras.layers.chained import GraphStep
from fcdcc_keras.layers.kinds import known_class
from fcdcc_keras.partition.stretch import Stretch, crossings
from fcdcc_keras.programs.program import DTYPES
from fcdcc_keras.rewriting.graph.model_graph import ModelGraph
from fcdcc_keras.rewriting.graph.programs import Writer
from fcdcc_keras.rewriting.keras_internals import layers_inside, origin
from fcdcc_keras.rewriting.walk import is_graph, runs_as_kerass, walk

Size = tuple[int, ...]
_ANY = 1024
"""Rows and columns that an input is taken to have while they are not known."""
_KEPT = 8
"""Sizes whose programs a site remembers."""
_FLOATING = {"float64", "float32", "float16", "bfloat16"}


class StretchSite:
    """A stretch of a model's graph, whatever its size: where programs come from."""

    def __init__(
        self,
        within: ModelGraph,
        entry: Any,
        exit: Any,
        dtype: str,
        paths: Mapping[int, str],
    ) -> None:
        """Takes the stretch between two values.

        Args:
            within: The graph that it stands in.
            entry: The symbolic tensor that it reads.
            exit: That which it yields.
            dtype: Of all values within.
            paths: Of layers and operators, by ``id``.
        """
        self.within = within
        self.dtype = dtype
        """float32 or float64."""
        self.steps = within.between(entry, exit)
        """What it computes, in order."""
        self.graph = within.path
        """As ``partition.stretch.Stretch`` has it."""
        self._paths = paths
        self._values = {
            paths[id(operation)]: tensor for _, operation, tensor in within.values
        }
        named = {id(tensor): path for path, tensor in self._values.items()}
        self.between = entry, exit
        """The symbolic tensors that it reads and yields."""
        self.entry, self.exit = named[id(entry)], named[id(exit)]
        """Paths of the layers whose output it reads, and yields."""
        size = tuple(entry.shape[1:-1])
        self.size = None if None in size else size
        """Of its input between images and channels, (H, W); None: not known."""
        self._known = tuple(rows or _ANY for rows in size)
        writer = self._written(self._known)
        self.layers = tuple(self._path(operation) for operation, _ in writer.steps)
        """Paths of all layers that it computes, in order; of operators, too, which have
        other names in every copy."""
        self.multiplies = any(known_class(type(layer)) for layer in writer.layers)
        """Whether it has a convolution or a matrix product."""
        weights = (w for layer in writer.layers for w in layer.weights)
        # No program has integers, as `Normalization` has to count by.
        unique = {id(w): w for w in weights if w.dtype in _FLOATING}
        self._variables = list(unique.values())
        self._layers = list({id(layer): layer for layer in writer.layers}.values())
        self._made_of = list(map(_made_of, self._layers))
        self._lock = threading.Lock()
        self._stretches: OrderedDict[Size, Stretch] = OrderedDict()

    def __repr__(self) -> str:
        return f"<StretchSite {self.entry!r} to {self.exit!r} of {self.graph!r}>"

    @property
    def whole(self) -> bool:
        """Whether it is all of a model that is nothing else's part."""
        ends, within = list(map(id, self.between)), self.within
        there = [*within.model.inputs, *within.outputs]
        return not self.graph and ends == list(map(id, there))

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
        given: Any = nullcontext()
        if values is not None:
            pairs = zip(self._variables, values, strict=True)
            given = keras.StatelessScope(state_mapping=list(pairs))
        with given:
            return self._written(self._known).arrays()

    def unchanged(self) -> bool:
        """Returns whether its layers are as they were, but for their numbers."""
        return self._made_of == list(map(_made_of, self._layers))

    def part(self, entry: str, exit: str) -> StretchSite:
        """Returns a part of it as a stretch of its own.

        Args:
            entry: Path of the layer whose output it reads: the entry, or an end.
            exit: Path of the layer whose output it yields, an end.

        Raises:
            PlanError: It cannot be parted there.
        """
        if (entry, exit) == (self.entry, self.exit):
            return self
        self.at(self._known).chain(None if entry == self.entry else entry, exit)
        if entry not in self._values or exit not in self._values:
            raise PlanError(
                "A stretch must begin and end where a value has a name of its own. "
                f"Received: {entry!r} to {exit!r}, one of which is in a model that is "
                "used twice. Let it begin and end around that."
            )
        ends = self._values[entry], self._values[exit]
        return StretchSite(self.within, *ends, self.dtype, self._paths)

    def _stretch(self, size: Size) -> Stretch:
        writer = self._written(size)
        program = writer.program()
        many = Counter(self._path(operation) for operation, _ in writer.steps)
        at = set(crossings(program))
        last = {
            value: self._path(operation)
            for operation, value in writer.steps
            if value in at and isinstance(operation, keras.layers.Layer)
        }
        last[len(writer.shapes) - 1] = self.exit
        ends = tuple((last[v], v) for v in sorted(last) if many[last[v]] == 1)
        return Stretch(self.graph, self.entry, program, size, ends)

    def _written(self, size: Size) -> Writer:
        entry, exit_ = self.between
        writer = Writer([(1, *size, entry.shape[-1])], self.dtype)
        numbers = {id(entry): 0}
        for step in self.steps:
            writer.step(step, numbers)
        writer.end(numbers[id(exit_)])
        return writer

    def _path(self, operation: Any) -> str:
        return self._paths[id(operation)]


def sites(model: keras.Model) -> list[StretchSite]:
    """Returns the largest stretches of a model's graphs that programs can compute.

    What a graph has inside is part of it, where it runs as Keras runs it; other graphs
    have stretches of their own where they do not lie in one wherever they are used. A
    stretch without a convolution or a matrix product is none.

    Args:
        model: A built model. Its weights are not read.
    """
    paths = {id(one): path for path, one in walk(model)}
    graphs = {
        id(one): ModelGraph(one, path)
        for path, one in (("", model), *walk(model))
        if isinstance(one, keras.Model) and is_graph(one) and hasattr(one, "outputs")
    }
    for graph in graphs.values():
        paths = graph.names | paths
    inside = {key for graph in graphs.values() for key in graph.inside}
    # Whoever is in no graph runs by itself; then those that it runs outside stretches.
    waiting = [key for key in graphs if key not in inside]
    found: dict[int, list[StretchSite]] = {}
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        graph = graphs[key]
        types = [_type(step) for step in graph.steps]
        found[key] = [StretchSite(graph, *part, paths) for part in graph.parts(types)]
        taken = {id(step) for site in found[key] for step in site.steps}
        waiting += [
            id(step.operation)
            for step in graph.steps
            if id(step) not in taken and id(step.operation) in graphs
        ]
    every = [site for key in graphs for site in found.get(key, ())]
    return [site for site in every if site.multiplies]


def _made_of(layer: Any) -> tuple[Any, ...]:
    """Returns what a layer's part of a program was read from."""
    weights = tuple(map(id, layer.weights))
    own = (getattr(layer, name, None) for name in ("activation", "quantization_mode"))
    return weights, *own, runs_as_kerass(layer)


def _type(step: GraphStep) -> str:
    """Returns the type in which a program computes a step; "" where none does."""
    (dtype, *others) = {one.dtype for one in step.yields}
    read = {one.dtype for one in step.reads}
    layer = isinstance(step.operation, keras.layers.Layer)
    casts = read <= _FLOATING and (layer or type(step.operation).__name__ == "Cast")
    if others or dtype not in DTYPES or not (read == {dtype} or (read and casts)):
        return ""
    if not all(map(_is_dense, step.reads)) or _watched(step.operation):
        return ""
    inputs = [
        (1, *(rows or _ANY for rows in one.shape[1:-1]), one.shape[-1])
        for one in step.reads
    ]
    numbers = {id(one): number for number, one in enumerate(step.reads)}
    try:
        Writer(inputs, dtype).step(step, numbers)
    except FcdccError:
        return ""
    return str(dtype)


def _is_dense(tensor: Any) -> bool:
    """Returns whether a tensor is one of images with channels, and not sparse."""
    # What Keras says of others is wrong: of a product with a number, that it is sparse.
    given = isinstance(origin(tensor), keras.layers.InputLayer)
    sparse = given and (tensor.sparse or getattr(tensor, "ragged", False))
    return not sparse and len(tensor.shape) > 1 and tensor.shape[-1] is not None


def _watched(operation: Any) -> bool:
    """Returns whether a loss depends on what a layer, or one inside, yields."""
    if not isinstance(operation, keras.layers.Layer):
        return False
    return any(
        getattr(layer, "activity_regularizer", None) is not None
        for layer in (operation, *layers_inside(operation, recursive=True))
    )
