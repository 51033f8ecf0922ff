"""A model's graph as steps in order, and the parts of it that have one way in and out.

Models inside are taken apart where they run as Keras runs them: their steps are steps
of the graph around. From a value on, steps that read but that value, or what other such
steps yield, make a part of the graph with one entry. Where nobody outside reads a value
within, a part of these has one exit as well. The largest is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from fcdcc_keras.layers.chained import GraphStep
from fcdcc_keras.rewriting.graph.programs import is_given_more, use
from fcdcc_keras.rewriting.keras_internals import called_with, origin
from fcdcc_keras.rewriting.walk import is_graph, runs_as_kerass


class ModelGraph:
    """The steps of a model's graph."""

    def __init__(self, model: Any, path: str = "") -> None:
        """Takes a graph apart.

        Args:
            model: A functional or a sequential model.
            path: Its own.
        """
        self.model = model
        self.path = path
        self.names: dict[int, str] = {}
        """Paths of layers and operators, by ``id``."""
        prefix = f"{path}/" if path else ""
        known = {id(tensor): tensor for tensor in model.inputs}
        self.inside: set[int] = set()
        """The ``id`` of each model inside, taken apart or a step."""
        self.steps = list(self._apart(model, prefix, known))
        """Each after those that it reads."""
        self.outputs = [known[id(output)] for output in model.outputs]
        """The symbolic tensors that the model returns: of its inputs and what the steps
        yield."""
        layers = [origin(tensor) for tensor in model.inputs]
        self.names |= {id(layer): f"{prefix}{layer.name}" for layer in layers}
        uses = Counter(id(step.operation) for step in self.steps)
        self.values = [
            (0, layer, tensor)
            for layer, tensor in zip(layers, model.inputs, strict=True)
        ] + [
            (number, step.operation, step.yields[0])
            for number, step in enumerate(self.steps, 1)
            if len(step.yields) == 1
            and uses[id(step.operation)] == 1
            and isinstance(step.operation, keras.layers.Layer)
        ]
        """What a path names: steps before it is known, its layer, symbolic tensor.
        Operators have names that Keras counts on, others in every copy."""

    def between(self, entry: Any, exit: Any) -> list[GraphStep]:
        """Returns the steps that compute a value of another."""
        chosen, wanted = [], {id(exit)}
        for step in reversed(self.steps):
            if any(id(one) in wanted for one in step.yields):
                wanted |= {id(one) for one in step.reads if one is not entry}
                chosen.append(step)
        return chosen[::-1]

    def parts(self, types: Sequence[str]) -> Iterator[tuple[Any, Any, str]]:
        """Yields entry, exit and type of the largest parts.

        Args:
            types: Type that each step can be part in; "" where it cannot.
        """
        readers = Counter[int]()
        for number, step in enumerate(self.steps):
            for key in {id(one) for one in step.reads}:
                readers[key] |= 1 << number
        for output in self.outputs:
            readers[id(output)] |= 1 << len(self.steps)
        exits = {id(tensor) for _, _, tensor in self.values}
        taken, within = 0, set[int]()
        for first, _, entry in self.values:
            while id(entry) not in within:
                part = self._largest(entry, first, types, readers, exits, taken)
                if part is None:
                    break
                taken |= part.steps
                yield entry, part.exit, part.dtype
                inside = self.between(entry, part.exit)
                within |= {id(one) for step in inside for one in step.yields}
                within.remove(id(part.exit))

    def _largest(
        self,
        entry: Any,
        first: int,
        types: Sequence[str],
        readers: Counter[int],
        exits: set[int],
        taken: int,
    ) -> _Part | None:
        """Returns the largest part that begins with a value, if there is one."""
        parts = {id(entry): _Part(entry)}
        best, dtype = None, ""
        for number in range(first, len(self.steps)):
            step, kind = self.steps[number], types[number]
            if (
                not kind
                or taken >> number & 1
                or kind != (dtype or kind)
                or any(id(one) not in parts for one in step.reads)
            ):
                continue
            dtype, steps, reading = kind, 1 << number, 0
            for one in step.reads:
                steps |= parts[id(one)].steps
                reading |= parts[id(one)].readers
                reading |= 0 if one is entry else readers[id(one)]
            for one in step.yields:
                part = parts[id(one)] = _Part(one, steps, reading, dtype)
                if not reading & ~steps and id(one) in exits and part.larger(best):
                    best = part
        return best

    def _apart(
        self, model: Any, prefix: str, known: dict[int, Any]
    ) -> Iterator[GraphStep]:
        """Yields the steps of a model and of those inside.

        Args:
            model: The model.
            prefix: Of the paths of its layers.
            known: What its symbolic tensors are in the outermost graph, by ``id``.
        """
        steps = list(_steps(model))
        uses = Counter(id(step.operation) for step in steps)
        for step in steps:
            operation = step.operation
            mine = GraphStep(operation, *step.given(known), step.yields)
            name = f"{prefix}{operation.name}"
            once = uses[id(operation)] == 1 and id(operation) not in self.inside
            if isinstance(operation, keras.Model):
                self.inside.add(id(operation))
            if once and _is_part(mine):
                own = {id(operation.inputs[0]): mine.reads[0]}
                yield from self._apart(operation, f"{name}/", own)
                outputs = [own[id(output)] for output in operation.outputs]
                known.update(zip(map(id, step.yields), outputs, strict=True))
                continue
            self.names[id(operation)] = name
            known |= {id(one): one for one in step.yields}
            yield mine


@dataclass(frozen=True)
class _Part:
    """What a value is made of, from an entry on; steps are bits of an integer."""

    exit: Any
    steps: int = 0
    readers: int = 0
    """Of the values between the entry and it."""
    dtype: str = ""

    def larger(self, other: _Part | None) -> bool:
        """Returns whether it has more steps than another."""
        return other is None or self.steps.bit_count() > other.steps.bit_count()


def _steps(model: Any) -> Iterator[GraphStep]:
    """Yields the steps of a model's own graph, each after those that it reads."""
    known = {id(tensor) for tensor in model.inputs}
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
        args, kwargs = called_with(operation, tensor)
        yield GraphStep(operation, args, kwargs, tuple(yields))


def _is_part(step: GraphStep) -> bool:
    """Returns whether a model runs as if its steps were those of the graph around."""
    model = step.operation
    if not isinstance(model, keras.Model):
        return False
    if not is_graph(model) or not runs_as_kerass(model) or not hasattr(model, "inputs"):
        return False
    if len(model.inputs) != 1 or len(step.reads) != 1:
        return False
    (given,), (wanted,) = step.reads, model.inputs
    # What is of another type, Keras casts; of another rank, it reshapes.
    alike = given.dtype == wanted.dtype and len(given.shape) == len(wanted.shape)
    return alike and not is_given_more([step.args, step.kwargs])
