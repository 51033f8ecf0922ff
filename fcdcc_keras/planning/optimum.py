"""The split that weighs sending against holding best, in closed form and by search."""

from __future__ import annotations

import math

from fcdcc_keras.codes import Code
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.objective import Objective
from fcdcc_keras.planning.search import AUTO, candidates, suits


def optimal_k_a(
    geometry: ConvGeometry,
    threshold: int,
    *,
    communication: float,
    storage: float,
    ell_a: int = 2,
    images: int = 1,
) -> float:
    """Returns k_A*, for which U = λ_comm·upload + λ_store·storage is least.

    With k_A·k_B = ℓ_A·ℓ_B·δ, and the rows that parts have in common left out, a worker
    is sent ℓ_A·B·C·H'·s·W/k_A numbers and holds K_H·K_W·C·N·k_A/(ℓ_A·δ), so that

        k_A* = ℓ_A·√(δ·λ_comm·B·W·H'·s / (λ_store·N·K_H·K_W)):

    FCDCC (arXiv:2411.01579). It is to be rounded to a k_A that a code has.

    Args:
        geometry: Sizes of a convolution in two dimensions.
        threshold: δ.
        communication: λ_comm, what sending a number to a worker costs.
        storage: λ_store, what holding one costs.
        ell_a: ℓ_A.
        images: B.
    """
    sent = images * geometry.input_size[1] * geometry.output_size[0]
    sent *= geometry.strides[0]
    kept = geometry.filters * math.prod(geometry.kernel_size)
    return ell_a * math.sqrt(threshold * communication * sent / (storage * kept))


def landscape(
    geometry: ConvGeometry,
    *,
    workers: int,
    stragglers: int,
    objective: Objective,
    code: str | Code | type[Code] = AUTO,
    hedged: bool = False,
) -> dict[tuple[int, int], tuple[float, Code]]:
    """Returns the best code of each split (k_A, k_B), with what it is ranked by.

    Args:
        geometry: Sizes of the layer.
        workers: n.
        stragglers: γ.
        objective: What is to be little.
        code: As for ``plan_layer``.
        hedged: Whether only as many workers as needed are sent to.
    """
    found: dict[tuple[int, int], tuple[float, Code]] = {}
    for design in candidates(code, workers, stragglers):
        if suits(design, geometry):
            rank = objective.rank(geometry, design, 4, hedged)
            split = design.k_a, design.k_b
            if split not in found or rank < found[split][0]:
                found[split] = rank, design
    return found
