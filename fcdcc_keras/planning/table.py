"""A plan as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcdcc_keras.text import count, table

if TYPE_CHECKING:
    from fcdcc_keras.planning.plan import Plan


def plan_table(plan: Plan) -> str:
    """Returns the plan as a table, costs for one image."""
    rows = [
        (
            layer.path,
            layer.code.name,
            f"{layer.code.k_a}, {layer.code.k_b}",
            f"{layer.code.recovery_threshold} of {layer.code.workers}",
            count(layer.cost.upload),
            count(layer.cost.download),
            count(layer.cost.storage),
            count(layer.cost.multiply_adds),
            f"{layer.cost.multiply_adds / layer.geometry.multiply_adds:.2f}",
            f"{layer.certificate.amplification_99:.3g}",
        )
        for layer in plan.layers
    ]
    text = table(
        f"{plan.model}: {plan.workers} workers, {plan.stragglers} may be missing",
        [
            "layer",
            "code",
            "k_A, k_B",
            "needed",
            "floats up / worker",
            "floats down",
            "floats held / worker",
            "multiply-adds / worker",
            "of layer",
            "error × plain",
        ],
        rows,
    )
    for path, _ in plan.at_call:
        text += f"planned at the first call for each height and width: {path}\n"
    for path, reason in plan.not_coded:
        text += f"not coded: {path}: {reason}\n"
    return text
