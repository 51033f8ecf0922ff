"""The kinds of linear operations of Keras layers: sizes, kernel, and Keras's own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras

from fcdcc_keras.layers.coded import CodedLayer, Shape
from fcdcc_keras.layers.crossing import crossed
from fcdcc_keras.partition import ConvGeometry

if TYPE_CHECKING:
    import tensorflow as tf


class Convolving(CodedLayer):
    """Convolutions, be they grouped or not."""

    @staticmethod
    def geometry_of(layer: Any, shape: Shape) -> ConvGeometry:
        """Returns the sizes; see ``CodedLayer``."""
        return _geometry("conv", layer, shape, layer.filters, groups=layer.groups)

    def plain(self: Any, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the convolution by Keras."""
        options = _options(self)
        if self.padding == "causal":
            (extent,) = self.kernel_size
            before = (extent - 1) * self.dilation_rate[0]
            inputs = keras.ops.pad(inputs, [[0, 0], [before, 0], [0, 0]])
            options["padding"] = "valid"
        return keras.ops.conv(inputs, kernel, **options)


class CodedDepthwise(CodedLayer):
    """Convolutions of each channel by itself."""

    @staticmethod
    def geometry_of(layer: Any, shape: Shape) -> ConvGeometry:
        """Returns the sizes; see ``CodedLayer``."""
        filters = (shape[-1] or 0) * layer.depth_multiplier
        return _geometry("depthwise", layer, shape, filters)

    def plain(self: Any, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the convolution by Keras."""
        return keras.ops.depthwise_conv(inputs, kernel, **_options(self))


class CodedSeparable(CodedLayer):
    """Depthwise convolutions followed by 1×1 convolutions."""

    @staticmethod
    def geometry_of(layer: Any, shape: Shape) -> ConvGeometry:
        """Returns the sizes; see ``CodedLayer``."""
        multiplier = layer.depth_multiplier
        return _geometry(
            "separable", layer, shape, layer.filters, depth_multiplier=multiplier
        )

    def coding_kernel(self: Any) -> tf.Tensor:
        """Returns both kernels, flat, one after the other."""
        both = self.depthwise_kernel, self.pointwise_kernel
        return keras.ops.concatenate([keras.ops.reshape(k, (-1,)) for k in both])

    def plain(self: Any, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the convolution by Keras."""
        depthwise, pointwise = self.depthwise_kernel.shape, self.pointwise_kernel.shape
        many = math.prod(depthwise)
        return keras.ops.separable_conv(
            inputs,
            keras.ops.reshape(kernel[:many], depthwise),
            keras.ops.reshape(kernel[many:], pointwise),
            **_options(self),
        )


class CodedTransposed(CodedLayer):
    """Transposes of convolutions."""

    @staticmethod
    def geometry_of(layer: Any, shape: Shape) -> ConvGeometry:
        """Returns the sizes; see ``CodedLayer``."""
        more = layer.output_padding
        return _geometry("transposed", layer, shape, layer.filters, output_padding=more)

    def plain(self: Any, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the transposed convolution by Keras."""
        more = self.output_padding
        return keras.ops.conv_transpose(
            inputs, kernel, output_padding=more, **_options(self)
        )


class Connected(CodedLayer):
    """Matrix products, coded on the side of the kernel."""

    @staticmethod
    def geometry_of(layer: Any, shape: Shape) -> ConvGeometry:
        """Returns the sizes; see ``CodedLayer``."""
        places = math.prod(n or 0 for n in shape[1:-1])
        return ConvGeometry((places,), shape[-1] or 0, layer.units, (1,), kind="dense")

    def plain(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the product by Keras."""
        return keras.ops.matmul(inputs, kernel)

    def on_workers(self: Any, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the product; all places of an image are in one dimension for it."""
        shape = keras.ops.shape(inputs)
        places = math.prod(shape[1:-1]) if len(shape) > 2 else 1
        flat = keras.ops.reshape(inputs, (shape[0], places, shape[-1]))
        outputs = crossed(self.run_coded, self.plain, flat, self.coding_kernel())
        return keras.ops.reshape(outputs, (*shape[:-1], self.units))


def _geometry(
    kind: Any, layer: Any, shape: Shape, filters: int, **more: Any
) -> ConvGeometry:
    return ConvGeometry(
        input_size=shape[1:-1],  # type: ignore[arg-type]  # all but B is known
        channels=shape[-1] or 0,
        filters=filters,
        kernel_size=layer.kernel_size,
        strides=layer.strides,
        dilation_rate=layer.dilation_rate,
        padding=layer.padding,
        kind=kind,
        **more,
    )


def _options(layer: Any) -> dict[str, Any]:
    return {
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation_rate": layer.dilation_rate,
        "data_format": "channels_last",
    }
