"""A layer's operation as a worker runs it: channels last, of one rank and kind.

Importable without TensorFlow; the functions that take tensors need it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from fcdcc_keras.partition import Axis

if TYPE_CHECKING:
    import tensorflow as tf

    from fcdcc_keras.partition import ConvGeometry

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Convolution:
    """The parameters of a convolution, without the sizes of what it is applied to."""

    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]
    pads: Pairs
    """Zeros (above, below), (left, right); of a transposed convolution rows that are
    cropped from its output, negative where zeros are appended."""
    kind: str = "conv"
    """See ``partition.geometry.Kind``."""
    kernel_size: tuple[int, ...] = ()
    """Of a separable convolution, whose kernel is flat."""
    depth_multiplier: int = 1
    """The same."""

    def __post_init__(self) -> None:
        for field in fields(self):  # a message has lists
            value = getattr(self, field.name)
            if isinstance(value, list):
                value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
                object.__setattr__(self, field.name, value)

    @classmethod
    def of(cls, geometry: ConvGeometry) -> Convolution:
        """Returns the parameters of a layer's convolution, all its padding included."""
        separable = geometry.kind == "separable"
        return cls(
            strides=geometry.strides,
            dilation_rate=geometry.dilation_rate,
            pads=geometry.pads,
            kind=geometry.kind,
            kernel_size=geometry.kernel_size if separable else (),
            depth_multiplier=geometry.depth_multiplier,
        )

    def at(
        self, place: tuple[int, ...], size: tuple[int, ...], kernel: tuple[int, ...]
    ) -> tuple[Convolution, tuple[slice, ...]]:
        """Returns the convolution that yields one place of the output alone.

        Args:
            place: Row, column and so on of the output.
            size: (H, W).
            kernel: The kernel's shape.

        Returns:
            The convolution, and the rows and columns of the input that it is of.
        """
        windows = [
            Axis(h, o + 1, extent, s, pads, self.kind == "transposed").inside(
                range(o, o + 1)
            )
            for o, h, extent, s, pads in zip(
                place, size, self._extents(kernel), self.strides, self.pads, strict=True
            )
        ]
        taken = tuple(slice(window.start, window.stop) for window in windows)
        return replace(self, pads=tuple(window.pads for window in windows)), taken

    def __call__(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the convolution.

        Args:
            inputs: Shape ``(B, H, W, C)``.
            kernel: As ``partition.geometry.Kind`` has it.

        Returns:
            Shape ``(B, H', W', N)``.
        """
        import tensorflow as tf

        if self.kind == "dense":
            # Without the reshape each image would be a matrix product of its own.
            flat = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), kernel)
            return tf.reshape(flat, (*inputs.shape[:-1], -1))
        if len(self.strides) == 1:
            return self._as_two_dimensional(inputs, kernel)
        if self.kind == "separable":
            return self._separable(inputs, kernel)
        if self.kind == "transposed":
            return self._transposed(inputs, kernel)
        if self.kind == "depthwise":
            return self._depthwise(inputs, kernel)
        return self._plain(inputs, kernel)

    def _as_two_dimensional(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        flat = replace(
            self,
            strides=(*self.strides, *self.strides),  # equal ones are the fast ones
            dilation_rate=(*self.dilation_rate, 1),
            pads=(*self.pads, (0, 0)),
            kernel_size=(*self.kernel_size, 1) if self.kernel_size else (),
        )
        if self.kind != "separable":
            kernel = tf.expand_dims(kernel, 1)
        if self.kind == "transposed":
            flat = replace(flat, strides=(*self.strides, 1))
        return tf.squeeze(flat(tf.expand_dims(inputs, 2), kernel), 2)

    def _plain(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        groups = inputs.shape[-1] // kernel.shape[-2]
        if len(self.strides) == 2:
            if groups == 1 or kernel.shape[-2] > 1:
                return tf.nn.conv2d(
                    inputs,
                    kernel,
                    strides=list(self.strides),
                    padding=[[0, 0], *map(list, self.pads), [0, 0]],
                    dilations=list(self.dilation_rate),
                )
            multiplier = kernel.shape[-1] // groups
            shape = (*kernel.shape[:-2], groups, multiplier)
            return self._depthwise(inputs, tf.reshape(kernel, shape))
        padded = _padded(inputs, self.pads)
        outputs = [
            tf.nn.convolution(
                x, k, list(self.strides), "VALID", None, self.dilation_rate
            )
            for x, k in zip(
                # TensorFlow has no groups in three dimensions on a CPU.
                tf.split(padded, groups, -1),
                tf.split(kernel, groups, -1),
                strict=True,
            )
        ]
        return outputs[0] if groups == 1 else tf.concat(outputs, -1)

    def _depthwise(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        strides, dilation = self.strides, self.dilation_rate
        # TensorFlow has neither unequal strides nor strides with gaps in the kernel.
        whole = len(set(strides)) > 1 or (max(strides) > 1 and max(dilation) > 1)
        outputs = tf.nn.depthwise_conv2d(
            inputs,
            kernel,
            (1, 1, 1, 1) if whole else (1, *strides, 1),
            [[0, 0], *map(list, self.pads), [0, 0]],
            dilations=dilation,
        )
        return outputs[:, :: strides[0], :: strides[1]] if whole else outputs

    def _separable(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        channels, multiplier = inputs.shape[-1], self.depth_multiplier
        shape = (*self.kernel_size, channels, multiplier)
        many = math.prod(shape)
        middle = self._depthwise(inputs, tf.reshape(kernel[:many], shape))
        pointwise = tf.reshape(kernel[many:], (1, 1, channels * multiplier, -1))
        return tf.nn.conv2d(middle, pointwise, 1, "VALID")

    def _transposed(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        sizes, extents = inputs.shape[1:-1], self._extents(tuple(kernel.shape))
        steps = zip(sizes, extents, self.strides, strict=True)
        whole = [(n - 1) * s + extent for n, extent, s in steps]
        if max(self.dilation_rate) > 1:
            outputs = self._turned(inputs, kernel, extents)
        else:
            shape = [tf.shape(inputs)[0], *whole, kernel.shape[-2]]
            outputs = tf.nn.conv_transpose(
                inputs, kernel, tf.stack(shape), list(self.strides), "VALID"
            )
        appended = tuple((0, max(0, -after)) for _, after in self.pads)
        crops = zip(whole, self.pads, strict=True)
        taken = [slice(before, n - after) for n, (before, after) in crops]
        index = (slice(None), *taken)
        return _padded(outputs, appended)[index]

    def _turned(
        self, inputs: tf.Tensor, kernel: tf.Tensor, extents: list[int]
    ) -> tf.Tensor:
        """Returns a transposed convolution of stride 1 by a convolution.

        TensorFlow has no transposed one with gaps in the kernel on a CPU.
        """
        import tensorflow as tf

        axes = range(len(extents))
        turned = tf.reverse(kernel, list(axes))
        turned = tf.transpose(turned, [*axes, len(extents) + 1, len(extents)])
        around = tuple((extent - 1, extent - 1) for extent in extents)
        return replace(self, kind="conv", pads=around)._plain(inputs, turned)

    def _extents(self, kernel: tuple[int, ...]) -> list[int]:
        """Returns the extents of a kernel of some shape, its gaps included."""
        sizes = (1,) if self.kind == "dense" else self.kernel_size or kernel[:-2]
        steps = zip(sizes, self.dilation_rate, strict=True)
        return [(k - 1) * d + 1 for k, d in steps]


def _padded(inputs: tf.Tensor, pads: Pairs) -> tf.Tensor:
    import tensorflow as tf

    if not any(map(any, pads)):
        return inputs
    return tf.pad(inputs, [[0, 0], *map(list, pads), [0, 0]])
