"""Stretches of a model's graph that workers compute, in place of layer by layer.

The model keeps its layers, and is of the class that it was. At inference its graph is
run here: where a stretch begins, what that yields is computed at once. In training, and
for the gradient, the layers themselves are run.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from fcdcc_keras.errors import PlanError
from fcdcc_keras.layers import graph_internals
from fcdcc_keras.layers.crossing import as_coded, crossed
from fcdcc_keras.layers.readings import Readings
from fcdcc_keras.layers.tensorflow_internals import recording, saving
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.worker.tensors import as_array, as_tensor

if TYPE_CHECKING:
    from fcdcc_keras.execution.forward.session import Session

Shape = tuple[int | None, ...]
Called = Callable[[Any], Callable[..., Any]]
"""Gives what an operation is called by."""


@dataclass(frozen=True)
class GraphStep:
    """One use of a layer, a model or an operator in a graph."""

    operation: Any
    args: tuple[Any, ...]
    """What it is called with; the tensors are symbolic ones."""
    kwargs: dict[str, Any]
    yields: tuple[Any, ...]
    """Symbolic tensors."""

    @cached_property
    def reads(self) -> tuple[Any, ...]:
        """The symbolic tensors that it is called with."""
        given = keras.tree.flatten((self.args, self.kwargs))
        return tuple(one for one in given if is_symbolic(one))

    def given(self, values: Mapping[int, Any]) -> tuple[Any, Any]:
        """Returns its arguments with other values of the symbolic tensors, by ``id``.

        Args:
            values: Of all that it reads.
        """
        given: tuple[Any, Any] = keras.tree.map_structure(
            lambda one: values[id(one)] if is_symbolic(one) else one,
            (self.args, self.kwargs),
        )
        return given

    def run(self, values: dict[int, Any], called: Called) -> None:
        """Adds what it yields to the values of symbolic tensors, by ``id``."""
        operation = called(self.operation)
        if self._reads_only:
            results = operation(values[id(self.args[0])])
        else:
            args, kwargs = self.given(values)
            results = operation(*args, **kwargs)
        flat = keras.tree.flatten(results)
        values.update(zip(map(id, self.yields), flat, strict=True))

    @cached_property
    def _reads_only(self) -> bool:
        """Whether it is called with a tensor and nothing else."""
        return len(self.args) == 1 and not self.kwargs and is_symbolic(self.args[0])


class StretchSource(Protocol):
    """What a stretch's programs and weights come from, as ``StretchSite`` has it."""

    dtype: str
    layers: tuple[str, ...]
    """Paths of all that it computes, in order."""

    def at(self, size: tuple[int, ...]) -> Stretch:
        """Returns the stretch for a size of its input, (H, W)."""

    def variables(self) -> list[Any]:
        """Returns the Keras variables that its result depends on."""

    def arrays(self, values: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """Returns the program's weights, of given values of the variables."""

    def unchanged(self) -> bool:
        """Returns whether its layers are as they were, but for their numbers."""


class StretchCompute(Protocol):
    """What computes a stretch, as ``forward.stretch.DistributedStretch`` does."""

    @property
    def plans(self) -> tuple[StretchPlan, ...]:
        """How it does so; several where that depends on the size of the input."""

    def __call__(
        self, inputs: np.ndarray, values: Sequence[np.ndarray], /
    ) -> np.ndarray:
        """Returns the output for an input and the values of the variables."""

    def detach(self) -> None:
        """Frees what workers hold."""


class ChainedStretch:
    """A stretch of a graph, by workers or by its layers."""

    def __init__(
        self, source: StretchSource, entry: Any, steps: Sequence[GraphStep]
    ) -> None:
        """Takes a stretch.

        Args:
            source: Where its programs come from.
            entry: The symbolic tensor that it reads.
            steps: In order; the last yields its output.
        """
        self.entry = entry
        (self.exit,) = steps[-1].yields
        self.steps = steps
        self.source = source
        self.compute: StretchCompute | None = None
        """What is attached, or was."""
        self._changed = False
        self._variables = source.variables()
        self._output = lru_cache(maxsize=8)(self._output_at)

    def computes(self, inputs: Any) -> bool:
        """Returns whether workers can compute it of an input."""
        if not self.source.unchanged():
            if not self._changed:
                warnings.warn(
                    f"The layers to {self.source.layers[-1]!r} were changed, as by "
                    "`quantize` or `enable_lora`: the client computes them from now "
                    "on, not the workers. `fk.attach` plans them again.",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self._changed = True
            return False
        if not isinstance(inputs, tf.Tensor) or inputs.shape.rank is None:
            return False  # one that is optional, or not dense
        try:
            self._static(inputs.shape)
        except PlanError:
            return False  # what Keras says of such an input is for Keras to say
        return not graph_internals.is_masked(inputs)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the output as the workers compute it, differentiable."""
        inputs = tf.cast(inputs, self.source.dtype)
        eager = tf.executing_eagerly() and not graph_internals.in_scope()
        if eager and self.readable and not recording():
            return self.at_once(as_array(inputs))
        outputs = crossed(self.run, self.plain, inputs, *self._variables)
        outputs.set_shape(self._static(inputs.shape))
        return outputs

    @cached_property
    def readable(self) -> bool:
        """Whether its variables hold what its programs have, of the same type."""
        return all(one.dtype == self.source.dtype for one in self._variables)

    def at_once(self, inputs: np.ndarray) -> tf.Tensor:
        """Returns the output of an array, without any graph; it must be readable."""
        assert self.compute is not None
        return as_tensor(self.compute(inputs, self._readings()))

    @cached_property
    def _readings(self) -> Readings:
        return Readings(self._variables)

    def run(self, inputs: np.ndarray, *values: np.ndarray) -> np.ndarray:
        """Returns the output of arrays, by whatever is attached when it runs."""
        assert self.compute is not None  # or nothing would have been traced
        return self.compute(inputs, values)

    def plain(self, inputs: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
        """Returns the output by the layers, with other values of the variables."""
        mapping = zip(self._variables, values, strict=True)
        with keras.StatelessScope(state_mapping=list(mapping)):
            known = {id(self.entry): inputs}
            for step in self.steps:
                step.run(known, lambda operation: operation)
        return known[id(self.exit)]

    def values(self) -> list[np.ndarray]:
        """Returns what the variables hold now, as ``run`` is given it."""
        return [as_coded(variable, self.source.dtype) for variable in self._variables]

    def _static(self, shape: tf.TensorShape) -> Shape:
        images, *size, _ = shape
        known = self.exit.shape if None in size else self._output(tuple(size))
        return images, *known[1:]

    def _output_at(self, size: tuple[int, ...]) -> tuple[int, ...]:
        stretch = self.source.at(size)
        return stretch.program.shapes([stretch.shape(1)])[-1]


class ChainedGraph:
    """A functional model's graph with stretches that workers compute."""

    def __init__(
        self, graph: Any, steps: Sequence[GraphStep], outputs: Sequence[Any]
    ) -> None:
        """Takes the place of how a model runs its graph.

        Args:
            graph: The functional model.
            steps: All of its graph's, each after those that it reads.
            outputs: The symbolic tensors among what they yield that it returns.
        """
        self._graph = graph
        self._steps = steps
        self._outputs = outputs
        self._order: list[GraphStep | ChainedStretch] = []
        self._stretches: dict[tuple[int, int], ChainedStretch] = {}
        """All that ever were, by their ends."""
        self._replaced: list[ChainedStretch] = []
        """Others, of layers that were changed. Traced functions go on asking them."""
        self._attached: list[ChainedStretch] = []
        self._whole: ChainedStretch | None = None
        self._session: Session | None = None
        self._mode = _Mode(autocast=False)
        # XLA cannot compile a step that leaves the graph.
        graph.supports_jit = False
        graph_internals.run_by(graph, self._run)

    @property
    def session(self) -> Session | None:
        """What the graph's model holds on its cluster, or None."""
        return self._session

    @property
    def attached(self) -> bool:
        """Whether workers compute stretches of it."""
        session = self._session
        return session is not None and not session.closed and self in session.users

    @property
    def stretches(self) -> tuple[ChainedStretch, ...]:
        """Those that workers compute."""
        return tuple(self._attached) if self.attached else ()

    @property
    def whole(self) -> ChainedStretch | None:
        """The one that computes all of it, from its only input to its only output."""
        return self._whole if self.attached else None

    def packed(self, output: tf.Tensor) -> Any:
        """Returns its only output as the graph returns it."""
        return keras.tree.pack_sequence_as(self._graph.output, [output])

    def stretch(
        self, source: StretchSource, entry: Any, steps: Sequence[GraphStep]
    ) -> ChainedStretch:
        """Returns a stretch of it, the same for the same ends; see there."""
        ends = id(entry), id(steps[-1].yields[0])
        known = self._stretches.get(ends)
        if known is not None and not known.source.unchanged():
            self._replaced.append(known)
            known = None
        if known is None:
            self._stretches[ends] = ChainedStretch(source, entry, steps)
        return self._stretches[ends]

    def attach(
        self, pairs: Sequence[tuple[ChainedStretch, StretchCompute]], session: Session
    ) -> None:
        """Hands stretches to workers, in place of those that they have.

        Args:
            pairs: Stretches of it, and what computes each.
            session: What the graph keeps alive.
        """
        former, before = [one.compute for one in self._attached], self._session
        within: dict[int, ChainedStretch] = {}
        for stretch, compute in pairs:
            stretch.compute = compute
            within |= {id(step.yields[0]): stretch for step in stretch.steps}
        order: list[GraphStep | ChainedStretch] = []
        for step in self._steps:
            found = within.get(id(step.yields[0]))
            if found is None:
                order.append(step)
            elif step.yields[0] is found.exit:
                order.append(found)
        self._attached = [stretch for stretch, _ in pairs]
        self._session, self._order = session, order
        self._whole = self._if_whole(order)
        session.users.add(self)
        for one in former:
            if one is not None:
                one.detach()
        if before is not None and before is not session:
            before.left_by(self)

    def detach(self) -> None:
        """Frees what workers hold; from now on the layers are run."""
        if self._session is not None:
            for stretch in self._attached:
                if stretch.compute is not None:
                    stretch.compute.detach()  # traced functions go on asking it
            self._session.left_by(self)

    def _if_whole(
        self, order: Sequence[GraphStep | ChainedStretch]
    ) -> ChainedStretch | None:
        if len(order) != 1 or isinstance(order[0], GraphStep):
            return None
        ends = [order[0].entry], [order[0].exit]
        there = self._graph.inputs, self._outputs
        # Tensors of a graph are not compared by `==`.
        same = [list(map(id, tensors)) for tensors in (*ends, *there)]
        return order[0] if same[:2] == same[2:] else None

    def _run(
        self, inputs: Any, operation_fn: Called = lambda op: op, **options: Any
    ) -> Any:
        # What is saved is loaded where there are no workers, or converted.
        if not self.attached or saving() or not self._infers(inputs, operation_fn):
            return graph_internals.run_plainly(
                self._graph, inputs, operation_fn, **options
            )
        flat = keras.tree.flatten(inputs)
        values = dict(zip(map(id, self._graph.inputs), flat, strict=True))
        for step in self._order:
            if isinstance(step, GraphStep):
                step.run(values, operation_fn)
            elif step.computes(values[id(step.entry)]):
                values[id(step.exit)] = step(values[id(step.entry)])
            else:
                for one in step.steps:
                    one.run(values, operation_fn)
        outputs = [values[id(output)] for output in self._outputs]
        return keras.tree.pack_sequence_as(self._graph.output, outputs)

    def _infers(self, inputs: Any, operation_fn: Called) -> bool:
        """Returns whether layers are called with tensors, and not in order to train."""
        flat = keras.tree.flatten(inputs)
        tensor = next((one for one in flat if isinstance(one, tf.Tensor)), None)
        if tensor is None or any(map(is_symbolic, flat)):
            return False
        operation_fn(self._mode)(tensor)
        return not self._mode.seen.training


class _Mode(keras.layers.Layer):
    """Is told by Keras, as any layer is, whether it is called in order to train."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.seen = threading.local()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Notes the mode."""
        self.seen.training = bool(training)
        return inputs


def is_symbolic(one: Any) -> bool:
    """Returns whether something is a tensor of a graph, without a value."""
    return isinstance(one, keras.KerasTensor)
