"""A plan as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcdcc_keras.text import bytes_text, count, milliseconds, table

if TYPE_CHECKING:
    from fcdcc_keras.planning.plan import LayerPlan, Plan


def plan_table(plan: Plan) -> str:
    """Returns the plan as a table, costs for one image."""
    from fcdcc_keras.planning.memory import held

    timed = plan.latency is not None
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
            *_times(layer, timed),
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
            *(["sent to", "expected ms", "p99 ms"] if timed else []),
        ],
        rows,
    )
    if plan.layers:
        text += f"held by each worker: {bytes_text(held(plan.layers))}\n"
    if plan.latency is not None:
        text += (
            f"one image: {milliseconds(plan.latency.expected)} ms expected, 99% within "
            f"{milliseconds(plan.latency.p99)} ms; "
            f"{milliseconds(plan.latency.usual)} ms when nobody straggles\n"
        )
    for path, _ in plan.at_call:
        text += f"planned at the first call for each height and width: {path}\n"
    for path, reason in plan.not_coded:
        text += f"not coded: {path}: {reason}\n"
    return text


def _times(layer: LayerPlan, timed: bool) -> tuple[str, ...]:
    if not timed:
        return ()
    sent = layer.code.recovery_threshold if layer.hedged else layer.code.workers
    if layer.latency is None:
        return str(sent), "", ""
    expected, p99 = layer.latency.expected, layer.latency.p99
    return str(sent), milliseconds(expected), milliseconds(p99)
