"""``minimize`` and ``maximize``: what the best allocation is."""

from __future__ import annotations

from fractions import Fraction

from hawqlang.diagnostics import Fix
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import twice
from hawqlang.stages.resolve.constants import kind_of, ungroup
from hawqlang.stages.resolve.metrics import ACCURACIES, metric_term
from hawqlang.stages.resolve.read import ratio
from hawqlang.stages.resolve.report import RejectedError, error, unknown, warning
from hawqlang.stages.resolve.scope import METRICS, Context

DEFAULT = (
    spec.Goal(
        metric=spec.MetricTerm(metric="perturbation"),
        sense="minimize",
        within=Fraction(0),
        span=None,
    ),
)
"""What is optimised where no objective stands."""


def objective(statements: tuple[syntax.Objective, ...], ctx: Context) -> tuple[spec.Goal, ...]:
    """Return the goals in order of priority, the order of the text."""
    if not statements:
        return DEFAULT
    written = [(goal, statement.sense) for statement in statements for goal in statement.goals]
    found: dict[str, spec.Goal] = {}
    for goal, sense in written:
        resolved = ctx.sink.attempt(_goal, goal, sense, ctx)
        if resolved is None:
            continue
        text = ctx.quote(ungroup(goal.value).span)
        earlier = found.get(text)
        if earlier is not None and earlier.span is not None:
            again = twice(f"`{text}`", "the objective", goal.value.span, earlier.span)
            ctx.sink.reject(again)
        else:
            found[text] = resolved
    last = written[-1][0]
    if last.within is not None:
        message = "`within` has no effect here: no goal follows that could use the slack"
        behind = last.value.span
        span = last.within.span.replace(line=behind.end_line, column=behind.end_column)
        fix = Fix(span=span, replacement="")
        ctx.sink.warn(warning("HQ252", message, last.within.span, help="leave it out", fix=fix))
    return tuple(found.values())


def _goal(goal: syntax.Goal, sense: str, ctx: Context) -> spec.Goal:
    term = _term(ungroup(goal.value), ctx)
    text = ctx.quote(goal.value.span)
    if term.metric in ACCURACIES:
        message = f"`{text}` is known only after a build and cannot be optimised"
        help_ = "constrain it: `subject to { good: accuracy_drop <= 1% }`"
        raise error("HQ251", message, goal.value.span, help=help_)
    if term.at is not None:
        message = f"`{text}` is a baseline, the same for every allocation"
        raise error("HQ251", message, goal.value.span, help=f"write `{term.metric}`")
    if term.metric == "peak_memory" and sense == "maximize":
        raise error("HQ251", "`peak_memory` can only be minimized", goal.value.span)
    within = Fraction(0) if goal.within is None else ratio(goal.within, ctx, high=None)
    return spec.Goal.model_validate(
        {"metric": term, "sense": sense, "within": within, "span": goal.span}
    )


def _term(expr: syntax.Expr, ctx: Context) -> spec.MetricTerm:
    match expr:
        case syntax.Name() | syntax.Call():
            name = expr if isinstance(expr, syntax.Name) else expr.function
            term = metric_term(expr, ctx)
            if term is not None:
                return term
            message = f"no metric is called `{name.text}`"
            if ctx.sink.partial and name.text not in ctx.names:
                raise RejectedError
            raise unknown("HQ211", message, name.text, name.span, METRICS)
        case _:
            message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, a metric is wanted here"
            raise error("HQ251", message, expr.span, help="write `minimize perturbation, size`")
