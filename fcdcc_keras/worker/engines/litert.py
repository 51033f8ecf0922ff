"""Models for LiteRT, made in memory with its own schema classes.

A model's operations are LiteRT's built-in ones, its numbers float32, its axes
``(B, H, W, C)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fcdcc_keras.programs import Pair

Sizes = tuple[int, ...]
_SCHEMA_VERSION = 3
_NEWER = 127
"""Operations with larger codes stand in a field of their own."""


class Value:
    """A tensor of a model that is being made, with the operators of arrays."""

    def __init__(self, model: Model, number: int, shape: Sizes) -> None:
        self.model = model
        self.number = number
        self.shape = shape

    def __add__(self, other: Value | float) -> Value:
        return self.model.joined("ADD", self, other)

    def __sub__(self, other: Value | float) -> Value:
        return self.model.joined("SUB", self, other)

    def __mul__(self, other: Value | float) -> Value:
        return self.model.joined("MUL", self, other)

    def __truediv__(self, other: Value | float) -> Value:
        return self.model.joined("DIV", self, other)

    def __neg__(self) -> Value:
        return self.model.add("NEG", [self], self.shape)


class Model:
    """A LiteRT model that is being made."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated

        self._schema: Any = schema_py_generated
        self._graph = self._schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._buffers = [self._schema.BufferT()]
        self._codes: dict[str, int] = {}
        self._turned: list[tuple[int, np.ndarray]] = []

    def input(self, shape: Sizes) -> Value:
        """Returns a value that the model is given."""
        return self._tensor(shape, 0)

    def constant(self, array: np.ndarray) -> Value:
        """Returns a constant, of float32 or int32."""
        buffer = self._schema.BufferT()
        buffer.data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._buffers.append(buffer)
        return self._tensor(array.shape, len(self._buffers) - 1, array.dtype.name)

    def turned(self, array: np.ndarray, first: np.ndarray) -> Value:
        """Returns a constant that has an array's last axis first; see ``taken``.

        Args:
            array: The array.
            first: A contiguous array of the same numbers, its last axis first.
        """
        value = self.constant(first)
        self._turned.append((len(self._buffers) - 1, array))
        return value

    def integers(self, *numbers: int) -> Value:
        """Returns a constant of int32."""
        return self.constant(np.array(numbers, np.int32))

    def add(
        self,
        operator: str,
        inputs: Sequence[Value],
        shape: Sizes,
        options: str = "",
        dtype: str = "float32",
        **settings: object,
    ) -> Value:
        """Adds an operation of one output, which it returns.

        Args:
            operator: Its name in ``BuiltinOperator``.
            inputs: What it reads.
            shape: Of the output.
            options: Name of its table of options, if it has one.
            dtype: Of the output.
            settings: Options that are not as they are when left out.
        """
        return self.add_all(operator, inputs, [shape], options, dtype, **settings)[0]

    def add_all(
        self,
        operator: str,
        inputs: Sequence[Value],
        shapes: Sequence[Sizes],
        options: str = "",
        dtype: str = "float32",
        **settings: object,
    ) -> list[Value]:
        """Adds an operation of several outputs; see ``add``."""
        outputs = [self._tensor(shape, 0, dtype) for shape in shapes]
        added = self._schema.OperatorT()
        added.opcodeIndex = self._codes.setdefault(operator, len(self._codes))
        added.inputs = [value.number for value in inputs]
        added.outputs = [output.number for output in outputs]
        if options:
            added.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
            added.builtinOptions = getattr(self._schema, f"{options}T")()
            for name, value in settings.items():
                setattr(added.builtinOptions, name, value)
        self._graph.operators.append(added)
        return outputs

    def joined(self, operator: str, one: Value, other: Value | float) -> Value:
        """Returns two values joined number by number, as NumPy broadcasts them."""
        if not isinstance(other, Value):
            other = self.constant(np.array(other, np.float32))
        shape = np.broadcast_shapes(one.shape, other.shape)
        options = "MaximumMinimum" if "IMUM" in operator else operator.title()
        return self.add(operator, [one, other], shape, f"{options}Options")

    def reshaped(self, x: Value, shape: Sizes) -> Value:
        """Returns a value's numbers by other axes."""
        return self.add("RESHAPE", [x, self.integers(*shape)], shape)

    def cropped(self, x: Value, crops: Sequence[Pair]) -> Value:
        """Returns what is left without some rows and columns around."""
        if not any(map(any, crops)):
            return x
        all_axes = ((0, 0), *crops, (0, 0))
        sizes = zip(x.shape[1:-1], crops, strict=True)
        return self.add(
            "STRIDED_SLICE",
            [
                x,
                self.integers(*(above for above, _ in all_axes)),
                self.integers(*(-below for _, below in all_axes)),
                self.integers(*(1 for _ in all_axes)),
            ],
            (x.shape[0], *(n - sum(around) for n, around in sizes), x.shape[-1]),
            "StridedSliceOptions",
            # Axes of which nothing is cut off at the end.
            endMask=sum(1 << axis for axis, (_, n) in enumerate(all_axes) if not n),
        )

    def padded(self, x: Value, pads: Sequence[Pair], value: float = 0.0) -> Value:
        """Returns a value with some rows and columns around."""
        if not any(map(any, pads)):
            return x
        sizes = zip(x.shape[1:-1], pads, strict=True)
        shape = (x.shape[0], *(n + sum(around) for n, around in sizes), x.shape[-1])
        around = self.constant(np.array([(0, 0), *pads, (0, 0)], np.int32))
        if value == 0:
            return self.add("PAD", [x, around], shape)
        number = self.constant(np.array(value, np.float32))
        return self.add("PADV2", [x, around, number], shape)

    def packed(self, inputs: Sequence[Value], outputs: Sequence[Value]) -> bytes:
        """Returns the model, as an interpreter takes it."""
        import flatbuffers

        self._graph.inputs = [value.number for value in inputs]
        self._graph.outputs = [value.number for value in outputs]
        model = self._schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.subgraphs = [self._graph]
        model.buffers = self._buffers
        model.operatorCodes = list(map(self._code, self._codes))
        size = sum(b.data.nbytes for b in self._buffers if b.data is not None)
        builder = flatbuffers.Builder(size + 2**16)
        builder.Finish(model.Pack(builder), b"TFL3")
        # Its own `Output` would copy once more.
        return bytes(memoryview(builder.Bytes)[builder.Head() :])

    def taken(self, model: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns arrays that were turned, and each as a view of the model's memory.

        Args:
            model: What ``packed`` has returned.
        """
        buffers = self._schema.Model.GetRootAs(model, 0).Buffers
        pairs = []
        for number, array in self._turned:
            first = buffers(number).DataAsNumpy().view(array.dtype)
            shape = (array.shape[-1], *array.shape[:-1])
            pairs.append((array, np.moveaxis(first.reshape(shape), 0, -1)))
        return pairs

    def _code(self, operator: str) -> object:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, operator)
        code.deprecatedBuiltinCode = min(code.builtinCode, _NEWER)
        code.version = 1
        return code

    def _tensor(self, shape: Sizes, buffer: int, dtype: str = "float32") -> Value:
        tensor = self._schema.TensorT()
        tensor.shape = list(shape)
        tensor.buffer = buffer
        tensor.type = getattr(self._schema.TensorType, dtype.upper())
        tensor.name = f"{len(self._graph.tensors)}"
        self._graph.tensors.append(tensor)
        return Value(self, len(self._graph.tensors) - 1, shape)
