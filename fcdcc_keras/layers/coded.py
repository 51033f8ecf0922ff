"""What makes a Keras layer a coded one: the mechanism that all of them share."""

from __future__ import annotations

import warnings
from functools import wraps
from typing import TYPE_CHECKING, Any

import keras

from fcdcc_keras.layers.crossing import as_coded, crossed
from fcdcc_keras.layers.tensorflow_internals import saving

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
    from fcdcc_keras.execution.forward.session import Session
    from fcdcc_keras.execution.forward.sized_at_call import SizedAtCall
    from fcdcc_keras.partition import ConvGeometry

Shape = tuple[int | None, ...]


class CodedLayer:
    """A Keras layer whose linear operation runs coded on the workers of a cluster.

    Comes before the Keras layer among the base classes. ``fk.distribute`` makes such
    layers. Until one is attached to workers, or after ``fk.close``, it computes as
    its Keras layer does.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Has a coded layer take what its Keras layer's call takes: Keras looks."""
        super().__init_subclass__(**options)
        plain = cls._plain()
        if hasattr(plain, "call"):

            @wraps(plain.call)
            def call(self: Any, *args: Any, **kwargs: Any) -> tf.Tensor:
                return CodedLayer.call(self, *args, **kwargs)

            cls.call = call  # type: ignore[method-assign]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start()

    def start(self) -> None:
        """Begins as a coded layer without a cluster.

        A plain layer that is made a coded one, by a change of its class, does so too.
        """
        # XLA cannot compile a step that leaves the graph.
        self.supports_jit = False
        self._coded: CodedConvolution | SizedAtCall | None = None
        self._session: Session | None = None
        self._quantize_as_plain()

    @property
    def coded(self) -> CodedConvolution | SizedAtCall | None:
        """The coded convolution behind the layer, or None before it is attached."""
        return self._coded

    @property
    def session(self) -> Session | None:
        """What the layer's model holds on its cluster, or None."""
        return self._session

    @property
    def attached(self) -> bool:
        """Whether workers compute the layer."""
        session = self._session
        return session is not None and not session.closed and self in session.users

    def attach(self, coded: CodedConvolution | SizedAtCall, session: Session) -> None:
        """Hands the layer's convolution to workers; the layer must be built.

        Args:
            coded: The coded convolution for this layer's plan, or what makes one for
                each size of input.
            session: What the layer keeps alive.
        """
        former, before = self._coded, self._session
        self._coded, self._session = coded, session
        session.users.add(self)
        if former is not None and before is not None:
            former.detach()
            before.left_by(self)

    def detach(self) -> None:
        """Frees what workers hold; from now on the client computes the layer itself."""
        if self._coded is not None and self._session is not None:
            self._coded.detach()  # functions that were traced go on asking it
            self._session.left_by(self)

    def leave(self, session: Session) -> None:
        """Has the client compute the layer; the session, which is closed, says why."""
        self.detach()
        self._session = session

    @classmethod
    def _plain(cls) -> type:
        """Returns the Keras layer's class."""
        return cls.__mro__[cls.__mro__.index(CodedLayer) + 1]

    def _quantize_as_plain(self: Any) -> None:
        """Has the layer be quantized as its Keras layer is: the client computes it."""
        # Each layer has Keras's wrapper of its own, which quantizes layers of just the
        # class that says how.
        wrapped, derived = self.quantize, "quantize" not in vars(self._plain())

        @wraps(wrapped)
        def quantize(
            mode: str | None = None, type_check: bool = True, **options: Any
        ) -> None:
            wrapped(mode, type_check=type_check and derived, **options)
            if self.attached:
                warnings.warn(
                    f"Layer {self.name!r} was quantized ({self.quantization_mode}): "
                    "the client computes it from now on, not the workers.",
                    RuntimeWarning,
                    stacklevel=2,
                )
                self.detach()

        self.quantize = quantize

    def run_coded(self, inputs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Returns the operation on arrays, by whatever is attached when it runs.

        A function that was traced before the layer was attached anew asks here too.
        """
        assert self._coded is not None  # or nothing would have been traced
        return self._coded(inputs, kernel)

    def kernel_array(self: Any) -> np.ndarray:
        """Returns the kernel as it is coded, float32 or float64.

        Its shape is as ``partition.geometry.Kind`` has it.
        """
        return as_coded(self.coding_kernel(), self.compute_dtype)

    @staticmethod
    def geometry_of(layer: Any, shape: Shape) -> ConvGeometry:
        """Returns the sizes of a layer's operation.

        Args:
            layer: The coded layer, or the Keras layer that it would replace.
            shape: Of the input, ``(B, H, W, C)``, whatever the layer's data format;
                all but B known.
        """
        raise NotImplementedError

    def plain(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the operation alone, by Keras, channels last; gives the gradient."""
        raise NotImplementedError

    def coding_kernel(self: Any) -> tf.Tensor:
        """Returns the kernel that goes to workers, as a tensor."""
        return self.kernel

    def call(self: Any, inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
        """Returns what the Keras layer returns, and takes all that it does.

        Raises:
            NotEnoughWorkersError: Too few workers answered in time, and the
                model was distributed with ``fallback="raise"``.
        """
        # What is saved is loaded where there are no workers, or converted.
        if self._coded is None or saving():
            plain: Any = super()
            return plain.call(inputs, *args, **kwargs)
        inputs = keras.ops.convert_to_tensor(inputs, sparse=False)
        outputs = self.on_workers(inputs)
        outputs.set_shape(self.compute_output_shape(inputs.shape))
        if self.use_bias:
            first = getattr(self, "data_format", "") == "channels_first"
            shape = [1] * len(outputs.shape)
            shape[1 if first else -1] = -1
            outputs = keras.ops.add(outputs, keras.ops.reshape(self.bias, shape))
        return outputs if self.activation is None else self.activation(outputs)

    def on_workers(self: Any, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the operation alone, in the layer's data format."""
        kernel = self.coding_kernel()
        if self.data_format == "channels_last":
            return crossed(self.run_coded, self.plain, inputs, kernel)
        last = (0, *range(2, len(inputs.shape)), 1)
        first = (0, len(inputs.shape) - 1, *range(1, len(inputs.shape) - 1))
        inputs = keras.ops.transpose(inputs, last)
        outputs = crossed(self.run_coded, self.plain, inputs, kernel)
        outputs.set_shape([None] * len(last))
        return keras.ops.transpose(outputs, first)


def channels_last(layer: Any, shape: Shape) -> Shape:
    """Returns the shape of a layer's input with the channels at its end."""
    if getattr(layer, "data_format", "") != "channels_first":
        return tuple(shape)
    return (shape[0], *shape[2:], shape[1])
