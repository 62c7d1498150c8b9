"""Typed readers: each turns a written value into what a setting takes, or says why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeVar

from hawqlang.base import Precision
from hawqlang.diagnostics import Fix, Label
from hawqlang.ir import syntax
from hawqlang.ir.literals import quantity_text
from hawqlang.ir.units import OFFERED, SCALARS, WORDS, Dim
from hawqlang.stages.resolve.amounts import Amount, missing_unit
from hawqlang.stages.resolve.constants import (
    amount,
    describe,
    evaluate,
    kind_of,
    not_a_number,
    ungroup,
)
from hawqlang.stages.resolve.report import RejectedError, choices, error, unknown
from hawqlang.stages.resolve.scope import Constant, Context, param_value, precision_word

_T = TypeVar("_T")


def whole(expr: syntax.Expr, ctx: Context, low: int = 1, high: int = 2**31 - 1) -> int:
    """Return a whole number from ``low`` to ``high``."""
    expr = ungroup(expr)
    text = ctx.quote(expr.span)
    if isinstance(expr, syntax.Quantity) and expr.unit is None and not expr.integral:
        help_ = f"write `{expr.number}`" if expr.number.denominator == 1 else None
        raise error("HQ208", f"`{text}` is not a whole number", expr.span, help=help_)
    value = _plain(expr, ctx)
    if value.denominator != 1:
        raise error("HQ208", f"`{text}` is not a whole number", expr.span)
    if not low <= value <= high:
        bound = f"at least {low}" if value < low else f"at most {high}"
        raise error("HQ209", f"`{text}` is out of range, it must be {bound}", expr.span)
    return int(value)


def number(expr: syntax.Expr, ctx: Context) -> Fraction:
    """Return a plain number."""
    return _plain(ungroup(expr), ctx)


def positive(expr: syntax.Expr, ctx: Context) -> Fraction:
    """Return a plain number above zero."""
    value = _plain(ungroup(expr), ctx)
    if value <= 0:
        message = f"`{ctx.quote(expr.span)}` is out of range, it must be above 0"
        raise error("HQ209", message, expr.span)
    return value


def _plain(expr: syntax.Expr, ctx: Context) -> Fraction:
    found = _amount(expr, ctx)
    if found.dim not in ("number", "share"):
        message = f"`{ctx.quote(expr.span)}` is {WORDS[found.dim]}, a plain number is wanted here"
        raise error("HQ216", message, expr.span)
    return found.constant


def _amount(expr: syntax.Expr, ctx: Context) -> Amount:
    """Return a constant amount; anything else is told what it is."""
    if isinstance(expr, syntax.String | syntax.Boolean | syntax.ListExpr):
        raise not_a_number(expr, ctx)
    return amount(expr, ctx)


def ratio(
    expr: syntax.Expr, ctx: Context, *, low: Fraction | int = 0, high: Fraction | int | None = 1
) -> Fraction:
    """Return a ratio from ``low`` to ``high``; a plain number is offered a ``%``."""
    value = quantity(expr, ctx, "ratio")
    if value < low or (high is not None and value > high):
        bounds = f"at least {quantity_text(Fraction(low), 'ratio')}"
        if high is not None and value > high:
            bounds = f"at most {quantity_text(Fraction(high), 'ratio')}"
        message = f"`{ctx.quote(expr.span)}` is out of range, it must be {bounds}"
        raise error("HQ209", message, expr.span)
    return value


def quantity(expr: syntax.Expr, ctx: Context, dim: Dim) -> Fraction:
    """Return a quantity of one dimension in its base unit."""
    expr = ungroup(expr)
    found = _amount(expr, ctx)
    text = ctx.quote(expr.span)
    if found.dim == "number" and dim in OFFERED:
        raise missing_unit(found, text, dim, expr.span)
    if found.dim != dim and not (found.dim in SCALARS and dim in SCALARS):
        message = f"`{text}` is {WORDS[found.dim]}, {WORDS[dim]} is wanted here"
        raise error("HQ216", message, expr.span)
    return found.constant


def positive_quantity(expr: syntax.Expr, ctx: Context, dim: Dim) -> Fraction:
    """Return a quantity above zero."""
    value = quantity(expr, ctx, dim)
    if value <= 0:
        message = f"`{ctx.quote(expr.span)}` is out of range, it must be above 0"
        raise error("HQ209", message, expr.span)
    return value


def text(expr: syntax.Expr, ctx: Context) -> str:
    """Return a string."""
    expr = ungroup(expr)
    if isinstance(expr, syntax.Quantity | syntax.ListExpr | syntax.Call):
        message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, a string is wanted here"
        raise error("HQ208", message, expr.span, help='strings stand in double quotes: `"…"`')
    value = evaluate(expr, ctx)
    if not isinstance(value, str):
        message = f"`{ctx.quote(expr.span)}` is {describe(value)}, a string is wanted here"
        raise error("HQ208", message, expr.span)
    return value


def path(expr: syntax.Expr, ctx: Context) -> str:
    """Return a path, relative ones seen from the folder of the file that holds them."""
    return ctx.path(text(expr, ctx), expr.span)


def boolean(expr: syntax.Expr, ctx: Context) -> bool:
    """Return a truth value."""
    expr = ungroup(expr)
    if isinstance(expr, syntax.Boolean) or (
        isinstance(expr, syntax.Name) and expr.text in ctx.names
    ):
        value = evaluate(expr, ctx)
        if isinstance(value, bool):
            return value
    message = f"`{ctx.quote(expr.span)}` is not a truth value"
    raise error("HQ208", message, expr.span, help="write `true` or `false`")


def precision(expr: syntax.Expr, ctx: Context) -> Precision:
    """Return a precision word's value."""
    expr = ungroup(expr)
    if isinstance(expr, syntax.Name):
        value = evaluate(expr, ctx)
        if isinstance(value, Precision):
            return value
        message = f"`{expr.text}` is {describe(value)}, a precision is wanted here"
        raise error("HQ208", message, expr.span, help="precisions are words such as `w4a8`")
    fix = None
    if isinstance(expr, syntax.String) and _is_precision(expr):
        fix = Fix(span=expr.span, replacement=expr.value)
    message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, a precision is wanted here"
    raise error("HQ208", message, expr.span, help="precisions are words such as `w4a8`", fix=fix)


def _is_precision(expr: syntax.String) -> bool:
    try:
        return precision_word(expr.value, expr.span) is not None
    except RejectedError:
        return False


def word(expr: syntax.Expr, ctx: Context, allowed: tuple[_T, ...], what: str) -> _T:
    """Return one of the words a setting takes; a string param may supply it."""
    expr = ungroup(expr)
    known = {str(choice): choice for choice in allowed}
    if isinstance(expr, syntax.Name):
        if expr.text in known:
            return known[expr.text]
        if expr.text in ctx.names:
            return _word_of_param(expr, ctx, known, what)
        message = f"`{expr.text}` is not {what}"
        raise unknown("HQ210", message, expr.text, expr.span, known)
    if isinstance(expr, syntax.String) and expr.value in known:
        help_ = f"write `{expr.value}` without quotes"
        fix = Fix(span=expr.span, replacement=expr.value)
        raise error("HQ210", f"{what} is a word", expr.span, help=help_, fix=fix)
    message = f"`{ctx.quote(expr.span)}` is not {what}"
    raise error("HQ210", message, expr.span, help=f"write {choices(known)}")


def _word_of_param(name: syntax.Name, ctx: Context, known: Mapping[str, _T], what: str) -> _T:
    value = param_value(name, ctx)
    if isinstance(value, str) and value in known:
        return known[value]
    shown = f'"{value}"' if isinstance(value, str) else describe(value)
    message = f"`{name.text}` is {shown}, which is not {what}"
    raise error("HQ210", message, name.span, help=f"it must be {choices(known)}")


def identifier(expr: syntax.Expr, ctx: Context, pattern: re.Pattern[str], what: str) -> str:
    """Return a free word that matches ``pattern``: a name, a string, or a string param."""
    expr = ungroup(expr)
    value = (
        expr.text
        if isinstance(expr, syntax.Name) and expr.text not in ctx.names
        else text(expr, ctx)
    )
    if not pattern.fullmatch(value):
        message = f"`{ctx.quote(expr.span)}` is not {what}"
        raise error("HQ210", message, expr.span)
    return value


def items(expr: syntax.Expr, ctx: Context, what: str) -> tuple[syntax.Expr, ...]:
    """Return the elements of a list."""
    expr = ungroup(expr)
    if isinstance(expr, syntax.ListExpr):
        return expr.items
    message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, a list of {what} is wanted here"
    raise error("HQ208", message, expr.span, help="lists stand in brackets: `[a, b]`")


def listed(
    expr: syntax.Expr, ctx: Context, what: str, reader: Callable[[syntax.Expr, Context], _T]
) -> tuple[_T, ...]:
    """Return a list with every element read by ``reader``."""
    elements = items(expr, ctx, what)
    return ctx.sink.all_of([ctx.sink.attempt(reader, element, ctx) for element in elements])


def precisions(expr: syntax.Expr, ctx: Context) -> tuple[Precision, ...]:
    """Return candidate precisions; one word stands for a list of one."""
    expr = ungroup(expr)
    if not isinstance(expr, syntax.ListExpr):
        return (precision(expr, ctx),)
    if not expr.items:
        raise error("HQ209", "the list of precisions is empty", expr.span, help="write `[w8a8]`")
    found = listed(expr, ctx, "precisions", precision)
    for n, value in enumerate(found):
        if value in found[:n]:
            first = expr.items[found.index(value)]
            labels = (Label(span=first.span, message="first here"),)
            message = f"`{value}` stands in the list twice"
            raise error("HQ206", message, expr.items[n].span, labels=labels)
    return found


def scalar(expr: syntax.Expr, ctx: Context) -> Fraction | str | bool:
    """Return a number, string or truth value, as free arguments take them."""
    value: Constant = evaluate(expr, ctx)
    match value:
        case Amount() if value.dim in SCALARS:
            return value.constant
        case str() | bool():
            return value
        case _:
            message = f"`{ctx.quote(expr.span)}` is {describe(value)}"
            help_ = "arguments are numbers, strings and truth values"
            raise error("HQ208", message, expr.span, help=help_)
