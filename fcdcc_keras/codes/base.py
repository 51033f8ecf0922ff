"""What every code is: two encoding matrices and the rule for decoding.

Symbols, as in the literature (FCDCC, arXiv:2411.01579):

- ``k_A``, ``k_B``: blocks that the input and the kernel are cut into.
- ``n``: workers. ``δ``: recovery threshold. ``γ = n − δ``: stragglers.
- ``ℓ_A``, ``ℓ_B``: coded inputs and coded kernels that each worker gets.
- ``A`` of shape ``(k_A, ℓ_A·n)``: worker w gets X̃_{w,a} = Σ_i A[i, ℓ_A·w + a]·X_i.
- ``B`` of shape ``(k_B, ℓ_B·n)``: worker w holds K̃_{w,b} = Σ_j B[j, ℓ_B·w + b]·K_j.
- ``G_w = A_w ⊗ B_w``: worker w's results are these columns applied to the true
  blocks Y_ij = X_i ∗ K_j, by bilinearity of the convolution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from fcdcc_keras.checks import check_integer
from fcdcc_keras.codes.decoding import Decoder, decoding_matrix
from fcdcc_keras.codes.linear import combine
from fcdcc_keras.errors import DecodeError, PlanError

_DECODERS_KEPT = 1024


@dataclass(frozen=True)
class Code(ABC):
    """A code for bilinear computations, for one split and one set of workers."""

    k_a: int
    """k_A: number of input blocks."""
    k_b: int
    """k_B: number of kernel blocks."""
    workers: int
    """n: number of workers."""

    name: ClassVar[str]
    """Name under which ``codes.get`` finds the code."""

    def __post_init__(self) -> None:
        for field in ("k_a", "k_b", "workers"):
            value = getattr(self, field)
            check_integer(field, value, least=1)
        check_integer("seed", getattr(self, "seed", 0), least=0)
        self._check()
        if self.workers < self.recovery_threshold:
            raise PlanError(
                "A code must have at least as many workers as its recovery "
                f"threshold. Received: workers={self.workers}, k_a={self.k_a}, "
                f"k_b={self.k_b}, which needs {self.recovery_threshold}. Use more "
                "workers or fewer blocks."
            )

    def _check(self) -> None:
        """Raises `PlanError` where the code's own parameters break its rules."""

    @classmethod
    @abstractmethod
    def designs(cls, workers: int, threshold: int) -> list[Code]:
        """Returns the codes of this kind for n workers with recovery threshold δ.

        One for each split (k_A, k_B), with the kind's default options.
        """

    @property
    @abstractmethod
    def ell_a(self) -> int:
        """ℓ_A: coded inputs per worker."""

    @property
    @abstractmethod
    def ell_b(self) -> int:
        """ℓ_B: coded kernels per worker."""

    @cached_property
    @abstractmethod
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, ℓ_A·n)``, float64."""

    @cached_property
    @abstractmethod
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, ℓ_B·n)``, float64."""

    @property
    def recovery_threshold(self) -> int:
        """δ = k_A·k_B / (ℓ_A·ℓ_B): the workers that always suffice."""
        return self.k_a * self.k_b // (self.ell_a * self.ell_b)

    @property
    def stragglers(self) -> int:
        """γ = n − δ: the workers that may be missing."""
        return self.workers - self.recovery_threshold

    @property
    def worst_survivors(self) -> tuple[int, ...] | None:
        """A set of δ survivors known to amplify most, where theory tells."""
        return None

    @property
    def quaternion_side(self) -> str:
        """Side whose 4×4 blocks multiply by quaternions: input, kernel; "": neither."""
        return ""

    @property
    def plain_workers(self) -> int:
        """How many workers, the first ones, have plain blocks on both sides."""
        return 0

    def decodable(self, survivors: Iterable[int]) -> bool:
        """Returns whether the results of these workers give the whole output."""
        return len(set(survivors)) >= self.recovery_threshold

    def generator(self, survivors: Sequence[int]) -> np.ndarray:
        """Returns G_S = [A_w ⊗ B_w]_{w∈S}, shape ``(k_A·k_B, |S|·ℓ_A·ℓ_B)``."""
        return np.hstack(
            [
                np.kron(
                    self.input_matrix[:, self._columns(w, self.ell_a)],
                    self.kernel_matrix[:, self._columns(w, self.ell_b)],
                )
                for w in survivors
            ]
        )

    def encode_input(self, blocks: np.ndarray, workers: Sequence[int]) -> np.ndarray:
        """Returns the coded inputs of some workers.

        Args:
            blocks: X_i, shape ``(k_A, *block)``.
            workers: Workers to encode for.

        Returns:
            X̃_{w,a}, shape ``(len(workers), ℓ_A, *block)``, dtype of ``blocks``.
        """
        return self._encode(self.input_matrix, self.ell_a, blocks, workers)

    def encode_kernel(self, blocks: np.ndarray, workers: Sequence[int]) -> np.ndarray:
        """Returns the coded kernels of some workers.

        Args:
            blocks: K_j, shape ``(k_B, *block)``.
            workers: Workers to encode for.

        Returns:
            K̃_{w,b}, shape ``(len(workers), ℓ_B, *block)``, dtype of ``blocks``.
        """
        return self._encode(self.kernel_matrix, self.ell_b, blocks, workers)

    def decoder(self, survivors: Iterable[int]) -> Decoder:
        """Returns the decoder for a survivor set, from a bounded cache.

        Args:
            survivors: At least δ distinct workers, in any order.

        Raises:
            DecodeError: Their results do not determine the output.
        """
        return _decoder(self, tuple(sorted(survivors)))

    def to_dict(self) -> dict[str, Any]:
        """Returns the code as JSON-ready plain data; see ``codes.from_dict``."""
        return {"name": self.name, **asdict(self)}

    @staticmethod
    def _columns(worker: int, ell: int) -> slice:
        return slice(worker * ell, (worker + 1) * ell)

    def _encode(
        self, matrix: np.ndarray, ell: int, blocks: np.ndarray, workers: Sequence[int]
    ) -> np.ndarray:
        columns = [w * ell + i for w in workers for i in range(ell)]
        coded = combine(matrix.T[columns], blocks)
        return coded.reshape(len(workers), ell, *blocks.shape[1:])


@lru_cache(maxsize=_DECODERS_KEPT)
def _decoder(code: Code, survivors: tuple[int, ...]) -> Decoder:
    known = set(survivors)
    if len(known) != len(survivors) or not known <= set(range(code.workers)):
        raise DecodeError(
            f"Survivors must be distinct workers from 0 to {code.workers - 1}. "
            f"Received: survivors={survivors}. Pass each worker once."
        )
    if not code.decodable(survivors):
        raise DecodeError(
            f"Decoding needs the results of {code.recovery_threshold} workers. "
            f"Received: {len(survivors)}, survivors={survivors}. Wait for more."
        )
    generator = code.generator(survivors)
    matrix, amplification = decoding_matrix(generator)
    return Decoder(survivors, matrix, amplification, generator)
