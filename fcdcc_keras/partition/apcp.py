"""APCP: adaptive-padding coded partitioning of the input, along its height.

FCDCC, arXiv:2411.01579. The padded input is cut into k_A overlapping parts that
each yield h' = ⌈H'/k_A⌉ output rows: part i starts at row i·h'·s and is
Ĥ = (h' − 1)·s + D_H rows high. Rows missing at the bottom are zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fcdcc_keras.partition.geometry import ConvGeometry


@dataclass(frozen=True)
class HeightPartition:
    """Cuts inputs into k_A parts by height; merges the parts' outputs."""

    geometry: ConvGeometry
    parts: int
    """k_A."""

    @property
    def output_rows(self) -> int:
        """h': output rows of each part."""
        return -(-self.geometry.output_size[0] // self.parts)

    @property
    def input_rows(self) -> int:
        """Ĥ: input rows of each part, padding and overlap included."""
        stride = self.geometry.strides[0]
        return (self.output_rows - 1) * stride + self.geometry.dilated_kernel[0]

    def split(self, inputs: np.ndarray) -> np.ndarray:
        """Returns the parts, with the layer's own padding of the height applied.

        The width is left unpadded: the convolution of a part pads it, which saves
        sending zeros.

        Args:
            inputs: X, shape ``(B, H, W, C)``.

        Returns:
            X_i, shape ``(k_A, B, Ĥ, W, C)``, same dtype.
        """
        batch, height, width, channels = inputs.shape
        shape = (self.parts, batch, self.input_rows, width, channels)
        parts = np.empty(shape, inputs.dtype)
        step = self.output_rows * self.geometry.strides[0]
        for i in range(self.parts):
            # Rows of X that part i covers; those before 0 and from H on are zeros.
            start = i * step - self.geometry.pad_height[0]
            first, last = max(start, 0), min(start + self.input_rows, height)
            if first >= last:
                parts[i] = 0
                continue
            parts[i, :, : first - start] = 0
            parts[i, :, first - start : last - start] = inputs[:, first:last]
            parts[i, :, last - start :] = 0
        return parts

    def merge(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the output of the whole convolution; inverse of ``split``.

        Args:
            outputs: Outputs of the parts, shape ``(k_A, B, h', W', N)``.

        Returns:
            Y, shape ``(B, H', W', N)``.
        """
        parts, batch, rows, width, filters = outputs.shape
        merged = outputs.transpose(1, 0, 2, 3, 4)
        merged = merged.reshape(batch, parts * rows, width, filters)
        cropped: np.ndarray = merged[:, : self.geometry.output_size[0]]
        return cropped
