"""Conditions: comparisons of metrics and of layer properties, ties, and the logic between them."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias

from hawqlang.base import Precision
from hawqlang.ir import spec, syntax
from hawqlang.ir.units import Dim
from hawqlang.stages.resolve.amounts import Amount, Operand, sides
from hawqlang.stages.resolve.constants import amount, evaluate, kind_of, ungroup
from hawqlang.stages.resolve.index import Side
from hawqlang.stages.resolve.metrics import DIMENSIONS, metric_term, positional
from hawqlang.stages.resolve.report import RejectedError, error, joined, nearest, unknown
from hawqlang.stages.resolve.scope import (
    METRICS,
    PROPERTIES,
    SELECTOR_FORMS,
    SELECTOR_WORDS,
    Context,
    look_up,
    precision_word,
    unknown_name,
)
from hawqlang.stages.resolve.selectors import selected, selection

Inside: TypeAlias = Literal["each", "where"] | None
"""Where an expression stands: ``each`` and ``where`` speak of one layer at a time."""


def predicate(expr: syntax.Expr, ctx: Context, inside: Inside) -> spec.Predicate:
    """Return a statement that is true or false.

    Raises:
        RejectedError: where the expression is none, or a part of it is wrong.
    """
    expr = ungroup(expr)
    match expr:
        case syntax.Chain():
            return _chain(expr, ctx, inside)
        case syntax.Binary(op="and" | "or" | "implies"):
            return _logic(expr, ctx, inside)
        case syntax.Unary(op="not"):
            return spec.Not(item=predicate(expr.operand, ctx, inside), span=expr.span)
        case syntax.Tie():
            return _tie(expr, ctx, inside)
        case syntax.Boolean():
            return spec.Truth(value=expr.value, span=expr.span)
        case syntax.Name() if isinstance(ctx.params.get(expr.text), bool):
            return spec.Truth(value=evaluate(expr, ctx) is True, span=expr.span)
        case _:
            raise _not_a_condition(expr, ctx)


def _logic(expr: syntax.Binary, ctx: Context, inside: Inside) -> spec.Predicate:
    match expr.op:
        case "and":
            return spec.And(items=_flat(expr, "and", ctx, inside), span=expr.span)
        case "or":
            return spec.Or(items=_flat(expr, "or", ctx, inside), span=expr.span)
        case _:
            left, right = _both(expr.left, expr.right, ctx, inside)
            return spec.Implies(left=left, right=right, span=expr.span)


def _not_a_condition(expr: syntax.Expr, ctx: Context) -> RejectedError:
    text = ctx.quote(expr.span)
    help_ = f"compare it: `{text} <= …`"
    message = f"`{text}` is {kind_of(expr)}, a condition is wanted here"
    match expr:
        case syntax.Name() if expr.text in ctx.names and ctx.params.get(expr.text) is None:
            look_up(expr, ctx, "param")
            return RejectedError()
        case syntax.Name() if expr.text in METRICS:
            message = f"`{text}` is a metric, a condition is wanted here"
        case syntax.Name() if expr.text in PROPERTIES:
            message = f"`{text}` is a property of a layer, a condition is wanted here"
        case syntax.Name() if expr.text in (*SELECTOR_WORDS, *SELECTOR_FORMS):
            message = f"`{text}` selects layers, a condition is wanted here"
            help_ = f"select inside a call: `wbits({text}) == 8`"
        case syntax.Name() if expr.text not in ctx.names:
            message = f"no metric or param is called `{text}`"
            return unknown_name(expr, ctx, message, (*METRICS, *PROPERTIES))
        case syntax.Call(function=syntax.Name(text="same")):
            help_ = "write `same precision across residual`"
        case syntax.Group():
            help_ = "a list of layers stands inside a call: `wbits(first, last)`"
        case _:
            pass
    return error("HQ240", message, expr.span, help=help_)


def _flat(
    expr: syntax.Binary, op: Literal["and", "or"], ctx: Context, inside: Inside
) -> tuple[spec.Predicate, ...]:
    """Return the operands of a run of one operator; long runs do not nest."""
    operands: list[syntax.Expr] = []
    left: syntax.Expr = expr
    while isinstance(left, syntax.Binary) and left.op == op:
        operands.append(left.right)
        left = left.left
    operands.append(left)
    operands.reverse()
    return ctx.sink.all_of(
        [ctx.sink.attempt(predicate, operand, ctx, inside) for operand in operands]
    )


def _both(
    left: syntax.Expr, right: syntax.Expr, ctx: Context, inside: Inside
) -> tuple[spec.Predicate, spec.Predicate]:
    first = ctx.sink.attempt(predicate, left, ctx, inside)
    second = ctx.sink.attempt(predicate, right, ctx, inside)
    if first is None or second is None:
        raise RejectedError
    return first, second


def _tie(expr: syntax.Tie, ctx: Context, inside: Inside) -> spec.Same:
    if inside is not None:
        message = f"`same` relates layers to each other, `{inside}` speaks of one at a time"
        raise error("HQ258", message, expr.span, help="give it a constraint of its own")
    if expr.what.text not in PROPERTIES:
        message = f"layers cannot share `{expr.what.text}`"
        raise unknown("HQ210", message, expr.what.text, expr.what.span, PROPERTIES)
    return spec.Same.model_validate(
        {
            "property": expr.what.text,
            "selector": selection(expr.selection, ctx),
            "span": expr.span,
        }
    )


# ---- comparisons -------------------------------------------------------------------------------


def _chain(expr: syntax.Chain, ctx: Context, inside: Inside) -> spec.Predicate:
    """Return a comparison; a chain is the conjunction of its neighbours."""
    compare = _metric_pair
    if any(_is_property(operand, ctx, inside) for operand in expr.operands):
        compare = _property_pair
    elif any(_is_channels(operand) for operand in expr.operands):
        message = "`channels` selects layers, it is no metric"
        help_ = "use it where layers are selected: `wbits(channels >= 256) == 4`"
        raise error("HQ240", message, expr.span, help=help_)
    pairs = zip(expr.operands, expr.operators, expr.operands[1:], strict=False)
    items = ctx.sink.all_of(
        [ctx.sink.attempt(compare, left, op, right, ctx, inside) for left, op, right in pairs]
    )
    return items[0] if len(items) == 1 else spec.And(items=items, span=expr.span)


def _is_channels(expr: syntax.Expr) -> bool:
    expr = ungroup(expr)
    return isinstance(expr, syntax.Name) and expr.text == "channels"


def _metric_pair(
    left: syntax.Expr, op: spec.Comparator, right: syntax.Expr, ctx: Context, inside: Inside
) -> spec.Predicate:
    words = [word for word in (left, right) if _is_precision(word, ctx)]
    if words:
        message = f"`{ctx.quote(words[0].span)}` is a precision, and no layer's is compared with it"
        raise error("HQ248", message, words[0].span, help="write `precision(all) == w8a8`")
    a = ctx.sink.attempt(metric_amount, left, ctx, inside)
    b = ctx.sink.attempt(metric_amount, right, ctx, inside)
    if a is None or b is None:
        raise RejectedError
    span = joined(left.span, right.span)
    first, second = sides(_operand(a, left, ctx), _operand(b, right, ctx), span)
    for side, value in ((ungroup(left), a), (ungroup(right), b)):
        literal = isinstance(side, syntax.Quantity)
        ctx.index.sides.append(Side(side.span, value, literal))
    return spec.Compare(op=op, left=first, right=second, span=span)


def _operand(value: Amount, expr: syntax.Expr, ctx: Context) -> Operand:
    inner = ungroup(expr)
    return Operand(value, ctx.quote(inner.span), inner.span)


def _property_pair(
    left: syntax.Expr, op: spec.Comparator, right: syntax.Expr, ctx: Context, inside: Inside
) -> spec.Predicate:
    a = ctx.sink.attempt(_property_side, left, ctx, inside)
    b = ctx.sink.attempt(_property_side, right, ctx, inside)
    if a is None or b is None:
        raise RejectedError
    span = joined(left.span, right.span)
    kinds = [_side_kind(side) for side in (a, b)]
    if kinds[0] != kinds[1]:
        message = f"`{ctx.quote(left.span)}` is {kinds[0]}, `{ctx.quote(right.span)}` is {kinds[1]}"
        help_ = (
            "compare `precision` with words such as `w8a8`, `wbits` and `abits` with whole numbers"
        )
        raise error("HQ248", message, span, help=help_)
    if kinds[0] == "a precision" and op not in ("==", "!="):
        message = f"precisions have no order, `{op}` cannot compare them"
        raise error("HQ248", message, span, help="compare `wbits` or `abits`")
    return spec.PropertyCompare(op=op, left=a, right=b, span=span)


def _side_kind(side: spec.PropertyOf | spec.PropertyValue) -> str:
    match side:
        case spec.PropertyOf():
            return "a precision" if side.property == "precision" else "a number of bits"
        case spec.PropertyValue():
            return "a precision" if isinstance(side.value, Precision) else "a number of bits"


def _property_side(
    expr: syntax.Expr, ctx: Context, inside: Inside
) -> spec.PropertyOf | spec.PropertyValue:
    expr = ungroup(expr)
    match expr:
        case syntax.Name() if _is_property(expr, ctx, inside):
            return _bare_property(expr, ctx, inside)
        case syntax.Call() if expr.function.text in PROPERTIES:
            return _property_of(expr, ctx, inside)
        case syntax.Name():
            value = evaluate(expr, ctx) if expr.text not in METRICS else None
            if isinstance(value, Precision):
                return spec.PropertyValue(value=value)
        case _:
            pass
    return spec.PropertyValue(value=_bits(expr, ctx, inside))


def _bare_property(name: syntax.Name, ctx: Context, inside: Inside) -> spec.PropertyOf:
    if inside is None:
        message = f"`{name.text}` by itself belongs to one layer, and no layer is meant here"
        help_ = f"write `{name.text}(all)`, or `each all: {name.text} …`"
        raise error("HQ244", message, name.span, help=help_)
    if name.text in ctx.names:
        message = f"`{name.text}` is both a declared name and the layer's own property here"
        raise error("HQ244", message, name.span, help="give the declaration another name")
    return spec.PropertyOf.model_validate({"property": name.text, "selector": None})


def _property_of(expr: syntax.Call, ctx: Context, inside: Inside) -> spec.PropertyOf:
    name = expr.function.text
    if inside == "where":
        message = f"`where` speaks of the layer being counted, `{name}(…)` of others"
        raise error("HQ258", message, expr.span, help=f"write `{name}`")
    if expr.where is not None:
        message = f"`where` belongs to `count(…)`, not to `{name}`"
        raise error("HQ212", message, expr.where.span)
    if not expr.arguments:
        message = f"`{name}()` needs layers"
        raise error("HQ212", message, expr.span, help=f"write `{name}(all)`")
    chosen = selected(positional(expr), expr.excluded, expr.span, ctx)
    return spec.PropertyOf.model_validate({"property": name, "selector": chosen})


def _bits(expr: syntax.Expr, ctx: Context, inside: Inside) -> int:
    """Return a constant number of bits, 1 to 16."""
    value = metric_amount(expr, ctx, inside)
    text = ctx.quote(expr.span)
    if not value.is_constant:
        message = f"`{text}` is a metric, a layer's bits compare with a whole number"
        raise error("HQ248", message, expr.span)
    if value.dim != "number" or value.constant.denominator != 1:
        message = f"`{text}` is not a whole number of bits"
        raise error("HQ248", message, expr.span)
    if not 1 <= value.constant <= 16:
        message = f"`{text}` is out of range, layers have 1 to 16 bits"
        raise error("HQ209", message, expr.span)
    return int(value.constant)


def _is_property(expr: syntax.Expr, ctx: Context, inside: Inside) -> bool:
    """Return whether an operand is a layer property, bare ones included."""
    expr = ungroup(expr)
    match expr:
        case syntax.Call():
            return expr.function.text in PROPERTIES
        case syntax.Name():
            return expr.text in PROPERTIES and (inside is not None or expr.text not in ctx.names)
        case _:
            return False


def _is_precision(expr: syntax.Expr, ctx: Context) -> bool:
    expr = ungroup(expr)
    if not isinstance(expr, syntax.Name):
        return False
    if expr.text in ctx.names:
        return isinstance(ctx.params.get(expr.text), Precision)
    return expr.text not in METRICS and precision_word(expr.text, expr.span) is not None


# ---- metrics in comparisons --------------------------------------------------------------------


def metric_amount(expr: syntax.Expr, ctx: Context, inside: Inside) -> Amount:
    """Return an arithmetic expression in which metrics and counts may stand."""

    def leaf(found: syntax.Name | syntax.Call) -> Amount | None:
        return _leaf(found, ctx, inside)

    return amount(expr, ctx, leaf)


def _leaf(expr: syntax.Name | syntax.Call, ctx: Context, inside: Inside) -> Amount | None:
    name = expr.text if isinstance(expr, syntax.Name) else expr.function.text
    if name in PROPERTIES and not (isinstance(expr, syntax.Name) and name in ctx.names):
        raise _property_in_arithmetic(expr, name, inside)
    term = metric_term(expr, ctx)
    if term is not None:
        if inside is not None:
            message = f"`{name}` is a metric of the whole model, the same for every layer"
            help_ = "give it a constraint of its own"
            raise error("HQ258", message, expr.span, help=help_)
        return _one(DIMENSIONS[term.metric], term)
    if isinstance(expr, syntax.Name):
        if name == "count":
            message = "`count` needs layers to count"
            raise error("HQ212", message, expr.span, help="write `count(all where wbits == 4)`")
        return _named_amount(expr, ctx)
    if name == "count":
        return _one("number", _count(expr, ctx, inside))
    raise _unknown_function(expr, ctx)


def _named_amount(name: syntax.Name, ctx: Context) -> Amount | None:
    """Return ``None`` for a name that constants understand; others are no metric and no param."""
    known = name.text in ctx.names or name.text in SELECTOR_WORDS or name.text == "fp32"
    if known or precision_word(name.text, name.span) is not None:
        return None
    raise unknown_name(name, ctx, f"no metric or param is called `{name.text}`", METRICS)


def _one(dim: Dim, of: spec.MetricTerm | spec.CountTerm) -> Amount:
    return Amount(dim, Fraction(0), (spec.Term(coefficient=Fraction(1), of=of),))


def _count(expr: syntax.Call, ctx: Context, inside: Inside) -> spec.CountTerm:
    if inside is not None:
        message = "`count(…)` is the same for every layer"
        raise error("HQ258", message, expr.span, help="give it a constraint of its own")
    if not expr.arguments:
        message = "`count()` needs layers to count"
        raise error("HQ212", message, expr.span, help="write `count(all where wbits == 4)`")
    span = expr.span
    chosen = ctx.sink.attempt(selected, positional(expr), expr.excluded, span, ctx)
    if expr.where is None:
        if chosen is None:
            raise RejectedError
        return spec.CountTerm(selector=chosen)
    where = ctx.sink.attempt(predicate, expr.where, ctx, "where")
    if chosen is None or where is None:
        raise RejectedError
    return spec.CountTerm(selector=chosen, where=where)


def _property_in_arithmetic(
    expr: syntax.Name | syntax.Call, name: str, inside: Inside
) -> RejectedError:
    if isinstance(expr, syntax.Name) and inside is None:
        message = f"`{name}` by itself belongs to one layer, and no layer is meant here"
        help_ = f"write `{name}(all)`, or `each all: {name} …`"
        return error("HQ244", message, expr.span, help=help_)
    message = f"`{name}` is compared as it stands, not calculated with"
    help_ = "compare `wbits` and `abits` with whole numbers, `precision` with words such as `w8a8`"
    return error("HQ248", message, expr.span, help=help_)


def _unknown_function(expr: syntax.Call, ctx: Context) -> RejectedError:
    name = expr.function.text
    known = (*METRICS, *PROPERTIES, "count")
    if name in SELECTOR_FORMS or name in SELECTOR_WORDS:
        message = f"`{ctx.quote(expr.span)}` selects layers, it is no number"
        return error("HQ208", message, expr.span, help="select inside a call: `size(kernel(3, 3))`")
    message = f"no metric is called `{name}`"
    if nearest(name, known) is None:
        return error("HQ211", message, expr.function.span, help="metrics are size, bops, macs, …")
    return unknown("HQ211", message, name, expr.function.span, known)
