"""Metrics: the model's own, at a baseline precision, and over some of its layers."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Precision
from hawqlang.ir import spec, syntax
from hawqlang.ir.units import Dim
from hawqlang.stages.resolve.constants import ungroup
from hawqlang.stages.resolve.report import error
from hawqlang.stages.resolve.scope import METRICS, Context, param_value, precision_word
from hawqlang.stages.resolve.selectors import selected

DIMENSIONS: dict[str, Dim] = {
    "size": "size",
    "bops": "bops",
    "macs": "macs",
    "latency": "time",
    "perturbation": "number",
    "switches": "number",
    "peak_memory": "size",
    "average_wbits": "number",
    "average_abits": "number",
    "accuracy": "ratio",
    "accuracy_drop": "ratio",
}
SUMS = ("size", "bops", "macs", "latency", "perturbation")
"""Metrics that are sums over layers and so take a selector."""

ACCURACIES = ("accuracy", "accuracy_drop")


def metric_term(expr: syntax.Name | syntax.Call, ctx: Context) -> spec.MetricTerm | None:
    """Return the metric an expression names, ``None`` where it names none."""
    if isinstance(expr, syntax.Name):
        return _metric(expr.text, None, None) if expr.text in METRICS else None
    if expr.function.text not in METRICS:
        return None
    return _called(expr, ctx)


def _metric(
    name: str, at: Precision | Literal["fp32"] | None, selector: spec.Selector | None
) -> spec.MetricTerm:
    return spec.MetricTerm.model_validate({"metric": name, "at": at, "selector": selector})


def _called(expr: syntax.Call, ctx: Context) -> spec.MetricTerm:
    """Return ``size(w4a4, all except first)``: a baseline, a selector, or both in this order."""
    name = expr.function.text
    if expr.where is not None:
        message = f"`where` belongs to `count(…)`, not to `{name}`"
        raise error("HQ212", message, expr.where.span)
    if not expr.arguments:
        raise error("HQ212", f"`{name}()` has no argument", expr.span, help=f"write `{name}`")
    if name in ACCURACIES:
        message = f"`{name}` takes neither a baseline nor a selector"
        raise error("HQ243", message, expr.span, help=f"write `{name}`")
    values = positional(expr)
    at = _baseline(values[0], ctx)
    rest = values if at is None else values[1:]
    for value in rest:
        if _baseline(value, ctx) is not None:
            message = f"the baseline of `{name}` stands first and once"
            raise error("HQ243", message, value.span, help=f"write `{name}(w8a8, all)`")
    if at == "fp32" and name == "latency":
        message = "`latency` has no `fp32` baseline: no device lists a rate for it"
        raise error("HQ243", message, expr.span, help="compare with `latency(w8a8)`")
    if not rest and not expr.excluded:
        return _metric(name, at, None)
    if name not in SUMS:
        message = f"`{name}` is no sum over layers and takes no selector"
        help_ = f"write `{name}`" if at is None else f"write `{name}({at})`"
        raise error("HQ243", message, expr.span, help=help_)
    return _metric(name, at, selected(rest, expr.excluded, expr.span, ctx))


def positional(expr: syntax.Call) -> tuple[syntax.Expr, ...]:
    """Return the arguments of a call that takes none by name."""
    for argument in expr.arguments:
        if argument.name is not None:
            message = f"`{expr.function.text}` takes no argument by name"
            raise error("HQ212", message, argument.span)
    return tuple(argument.value for argument in expr.arguments)


def _baseline(expr: syntax.Expr, ctx: Context) -> Precision | Literal["fp32"] | None:
    """Return the precision a first argument names, ``None`` where it is a selector."""
    expr = ungroup(expr)
    if not isinstance(expr, syntax.Name):
        return None
    if expr.text == "fp32":
        return "fp32"
    at = precision_word(expr.text, expr.span)
    if at is None and expr.text in ctx.names:
        value = param_value(expr, ctx)
        return value if isinstance(value, Precision) else None
    return at
