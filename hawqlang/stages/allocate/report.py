"""A plan as the JSON object that scripts rely on (LANGUAGE, section 10)."""

from __future__ import annotations

from typing import Any

from hawqlang.ir.plan import BitPlan, ConstraintResult, LayerChoice

FORMAT_VERSION = 1


def plan_json(plan: BitPlan) -> dict[str, Any]:
    """Return the plan as ``hawqc plan --format json`` prints it; numbers in base units."""
    return {
        "format_version": FORMAT_VERSION,
        "quantize": plan.build,
        "status": plan.status,
        "gap": plan.gap,
        "objective": dict(plan.objective),
        "metrics": dict(plan.metrics),
        "layers": [_layer(layer) for layer in plan.layers],
        "constraints": [_constraint(one) for one in plan.constraints],
        "conflict": [
            {"name": one.name, "line": one.span.line, "text": one.text} for one in plan.conflict
        ],
        "suggestions": [
            {"constraint": one.constraint, "text": one.text, "value": one.value}
            for one in plan.suggestions
        ],
    }


def _layer(layer: LayerChoice) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "precision": str(layer.precision),
        "params": layer.params,
        "macs": layer.macs,
        "sensitivity": {str(precision): value for precision, value in layer.sensitivity},
        "latency_us": {str(precision): value for precision, value in layer.latency_us},
    }


def _constraint(one: ConstraintResult) -> dict[str, Any]:
    return {
        "name": one.name,
        "text": one.text,
        "value": one.value,
        "bound": one.bound,
        "slack": one.slack,
    }
