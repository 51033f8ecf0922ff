"""``Conv2D`` whose convolution runs coded on the workers of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from fcdcc_keras.layers.crossing import as_coded, coded_convolution

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from fcdcc_keras.execution.pipeline import CodedConvolution
    from fcdcc_keras.execution.session import Session


@keras.saving.register_keras_serializable("fcdcc_keras")
class CodedConv2D(keras.layers.Conv2D):
    """A ``keras.layers.Conv2D`` of the same arguments, weights and outputs.

    ``fk.distribute`` makes these layers. Until it is attached to workers, or
    after ``fk.close``, the layer computes as its parent does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # XLA cannot compile a step that leaves the graph.
        self.supports_jit = False
        self._coded: CodedConvolution | None = None
        self._session: Session | None = None

    @property
    def coded(self) -> CodedConvolution | None:
        """The coded convolution behind the layer, or None before it is attached."""
        return self._coded

    @property
    def session(self) -> Session | None:
        """What the layer's model holds on its cluster, or None."""
        return self._session

    def attach(self, coded: CodedConvolution, session: Session) -> None:
        """Hands the layer's convolution to workers; the layer must be built.

        Args:
            coded: The coded convolution for this layer's plan.
            session: What the layer keeps alive.
        """
        self._coded, self._session = coded, session

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the convolution without bias and activation.

        Args:
            inputs: Shape ``(B, H, W, C)``.
            kernel: Shape ``(K_H, K_W, C, N)``.

        Raises:
            NotEnoughWorkersError: Too few workers answered in time, and the
                model was distributed with ``fallback="raise"``.
            CorruptResultError: Likewise, where their results contradict each other
                and none can be told to be wrong.
        """
        if self._coded is None:
            return super().convolution_op(inputs, kernel)
        inputs = keras.ops.convert_to_tensor(inputs)
        plain = super().convolution_op
        outputs = coded_convolution(self._coded, plain, inputs, kernel)
        outputs.set_shape(self.compute_output_shape(inputs.shape))
        return outputs

    def kernel_array(self) -> np.ndarray:
        """Returns the kernel as it is coded: ``(K_H, K_W, C, N)``, float32 or 64."""
        return as_coded(self.kernel, self.compute_dtype)
