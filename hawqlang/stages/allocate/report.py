"""A plan as the JSON object that scripts rely on (LANGUAGE, section 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hawqlang.ir.plan import BitPlan, Change, ConstraintResult, LayerChoice, Price, RunnerUp, Why

FORMAT_VERSION = 1


def plan_json(plan: BitPlan) -> dict[str, Any]:
    """Return the plan as ``hawqc plan --format json`` prints it; numbers in base units."""
    return {
        "format_version": FORMAT_VERSION,
        "quantize": plan.build,
        "status": plan.status,
        "gap": plan.gap,
        "excluded": plan.excluded,
        "objective": dict(plan.objective),
        "metrics": dict(plan.metrics),
        "artifact_bytes": plan.artifact_bytes,
        "layers": [_layer(layer) for layer in plan.layers],
        "constraints": [_constraint(one) for one in plan.constraints],
        "conflict": [
            {"name": one.name, "line": one.span.line, "text": one.text} for one in plan.conflict
        ],
        "suggestions": [
            {"constraint": one.constraint, "text": one.text, "value": one.value}
            for one in plan.suggestions
        ],
        "runner_up": None if plan.runner_up is None else _runner_up(plan.runner_up),
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
        "share": dict(layer.share),
        "why": None if layer.why is None else _why(layer.why),
        "price": None if layer.price is None else _price(layer.price),
    }


def _why(why: Why) -> dict[str, Any]:
    return {
        "kind": why.kind,
        "text": why.text,
        "step": None if why.step is None else str(why.step),
        "breaks": [
            {"constraint": one.constraint, "amount": one.amount, "unit": one.unit}
            for one in why.breaks
        ],
        "tied": list(why.tied),
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "precision": str(price.precision),
        "goal": price.goal,
        "change": price.change,
        "bound": price.bound,
        "metrics": dict(price.metrics),
        "changes": changes_json(price.changes),
    }


def _runner_up(other: RunnerUp) -> dict[str, Any]:
    return {
        "status": other.status,
        "objective": dict(other.objective),
        "metrics": dict(other.metrics),
        "changes": changes_json(other.changes),
    }


def changes_json(changes: tuple[Change, ...]) -> list[dict[str, str]]:
    """Return the layers that differ between two allocations."""
    return [
        {"layer": one.layer, "before": str(one.before), "after": str(one.after)} for one in changes
    ]


def _constraint(one: ConstraintResult) -> dict[str, Any]:
    return {
        "name": one.name,
        "text": one.text,
        "value": one.value,
        "bound": one.bound,
        "slack": one.slack,
    }


def changes_text(changes: Sequence[Change], shown: int) -> str:
    """Return the layers that differ between two allocations in words, the first ``shown`` by name."""
    named = [f"{one.layer} {one.before} → {one.after}" for one in changes[:shown]]
    rest = len(changes) - shown
    return ", ".join(named) + (f" and {rest} more" if rest > 0 else "")
