"""KCCP: kernel-channel coded partitioning of the filter.

FCDCC, arXiv:2411.01579. The kernel is cut along its output channels into k_B
blocks of ⌈N/k_B⌉ channels; zero channels are appended where N does not divide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ChannelPartition:
    """Cuts kernels into k_B blocks of output channels."""

    filters: int
    """N."""
    parts: int
    """k_B."""

    @property
    def block_filters(self) -> int:
        """⌈N/k_B⌉: output channels of each block."""
        return -(-self.filters // self.parts)

    @property
    def filled_parts(self) -> int:
        """Blocks with channels of K; those after them are all padding."""
        return -(-self.filters // self.block_filters)

    def split(self, kernel: np.ndarray) -> np.ndarray:
        """Returns the kernel blocks.

        Args:
            kernel: K, shape ``(K_H, K_W, C, N)``.

        Returns:
            K_j, shape ``(k_B, K_H, K_W, C, ⌈N/k_B⌉)``, same dtype.
        """
        missing = self.parts * self.block_filters - self.filters
        padded = np.pad(kernel, [(0, 0)] * (kernel.ndim - 1) + [(0, missing)])
        blocks = padded.reshape(*kernel.shape[:-1], self.parts, self.block_filters)
        return np.ascontiguousarray(np.moveaxis(blocks, -2, 0))
