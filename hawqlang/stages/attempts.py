"""The allocations that a build tries until one meets the accuracy constraints: their record, in words and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hawqlang import units
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.attempt import Attempt
from hawqlang.ir.plan import BitPlan, ConstraintResult
from hawqlang.ir.spec import Build
from hawqlang.stages.allocate.report import changes_json, changes_text

NAMED = 4
"""Changed layers that one line names; the rest is counted."""


def attempted(
    tried: Sequence[BitPlan], decided: tuple[ConstraintResult, ...], seconds: float
) -> Attempt:
    """Return the record of the last allocation tried.

    Args:
        tried: every allocation so far, the last one included.
        decided: the accuracy constraints, as they stand for it.
        seconds: what it took.
    """
    plan = tried[-1]
    return Attempt(
        number=len(tried),
        metrics=plan.metrics,
        changes=tried[-2].changes_to(plan) if len(tried) > 1 else (),
        constraints=decided,
        holds=all(result.holds for result in decided),
        seconds=seconds,
    )


def verdicts(attempt: Attempt) -> str:
    """Return how the accuracy constraints stand: ``good: 1.33 % (fails)``."""
    return ", ".join(
        f"{one.name}: {units.quantity(one.value or 0, one.unit)} ({'holds' if one.holds else 'fails'})"
        for one in attempt.constraints
    )


def totals(attempt: Attempt) -> str:
    """Return the size and perturbation of an attempt, as far as they are known."""
    metrics = dict(attempt.metrics)
    found = [f"size {units.size(metrics['size_bytes'])}"]
    if "perturbation" in metrics:
        found.append(f"perturbation {metrics['perturbation']:.4g}")
    return ", ".join(found)


def changed(attempt: Attempt) -> str:
    """Return which layers differ from the attempt before, "" for the first."""
    return changes_text(attempt.changes, NAMED)


def attempt_line(attempt: Attempt) -> str:
    """Return an attempt in one line."""
    parts = (totals(attempt), verdicts(attempt), changed(attempt))
    return f"attempt {attempt.number}: " + "; ".join(part for part in parts if part)


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as ``hawqc build --format json`` prints it."""
    return {
        "number": attempt.number,
        "metrics": dict(attempt.metrics),
        "changes": changes_json(attempt.changes),
        "constraints": [
            {
                "name": one.name,
                "text": one.text,
                "value": one.value,
                "bound": one.bound,
                "holds": one.holds,
            }
            for one in attempt.constraints
        ],
        "holds": attempt.holds,
        "seconds": attempt.seconds,
    }


def none_accurate(build: Build, attempts: Sequence[Attempt], *, exhausted: bool) -> Diagnostic:
    """Return the report that no attempt met the accuracy constraints (HQ840).

    Args:
        build: the build.
        attempts: what was tried, at least one.
        exhausted: whether nothing else satisfies the other constraints; else the attempts are used up.
    """
    failed = next(one.name for one in attempts[-1].constraints if not one.holds)
    span = next(c.span for c in build.constraints if c.name == failed)
    notes = [attempt_line(one) for one in attempts]
    if exhausted:
        notes.append("no allocation is left that is not at or below one of these in every layer")
    more = "" if exhausted else ", or allow more with `attempts = N`"
    tried = f"none of the {len(attempts)} best allocations satisfies"
    return Diagnostic(
        code="HQ840",
        severity="error",
        message=f"{tried if len(attempts) > 1 else 'the allocation does not satisfy'} '{failed}'",
        span=span,
        notes=tuple(notes),
        help=f"relax it, or relax a bound on size or work{more}",
    )
