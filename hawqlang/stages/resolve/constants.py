"""Constant expressions: literals, params, exact arithmetic and joined strings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from hawqlang.base import Precision
from hawqlang.diagnostics import Fix
from hawqlang.ir import syntax
from hawqlang.ir.units import UNITS, WORDS
from hawqlang.stages.resolve.amounts import (
    Amount,
    Operand,
    add,
    divide,
    multiply,
    negate,
    share_of,
)
from hawqlang.stages.resolve.report import RejectedError, error, nearest
from hawqlang.stages.resolve.scope import (
    METRICS,
    PROPERTIES,
    SELECTOR_WORDS,
    Constant,
    Context,
    param_value,
    precision_word,
)

Leaf: TypeAlias = Callable[[syntax.Name | syntax.Call], Amount | None]
"""Gives a metric its meaning where metrics may stand; ``None`` for anything else."""

_KINDS: Mapping[type[syntax.Expr], str] = MappingProxyType(
    {
        syntax.String: "a string",
        syntax.Boolean: "a truth value",
        syntax.Name: "a name",
        syntax.ListExpr: "a list",
        syntax.Call: "a call",
        syntax.Group: "a list of layers",
        syntax.Chain: "a comparison",
        syntax.Tie: "a condition",
    }
)
_ARITHMETIC = frozenset(("+", "-", "*", "/", "of"))


def ungroup(expr: syntax.Expr) -> syntax.Expr:
    """Return what stands inside parentheses around one expression."""
    while (
        isinstance(expr, syntax.Group)
        and len(expr.selection.items) == 1
        and not expr.selection.excluded
    ):
        expr = expr.selection.items[0]
    return expr


def literal(quantity: syntax.Quantity) -> Amount:
    """Return the value of a number with its unit.

    Raises:
        RejectedError: HQ213 for a unit nobody knows.
    """
    if quantity.unit is None:
        return Amount("number", quantity.number)
    known = UNITS.get(quantity.unit)
    if known is None:
        guess = nearest(quantity.unit, UNITS)
        message = f"`{quantity.unit}` is not a unit"
        help_ = (
            f"did you mean `{guess}`?"
            if guess
            else "units are B KB MB GB KiB MiB GiB, ns us ms s, MACs to TMACs, BOPS to TBOPS, and %"
        )
        fix = _unit_fix(quantity, guess) if guess else None
        raise error("HQ213", message, quantity.span, help=help_, fix=fix)
    dim, factor = known
    return Amount(dim, quantity.number * factor)


def _unit_fix(quantity: syntax.Quantity, unit: str) -> Fix:
    """Return the fix that puts another unit behind a number: units stand at the end, on its line."""
    end = quantity.span.end_column
    span = quantity.span.replace(column=end - len(quantity.unit or ""))
    return Fix(span=span, replacement=unit, sure=False)


def evaluate(expr: syntax.Expr, ctx: Context) -> Constant:
    """Return the value of a constant expression.

    Raises:
        RejectedError: where it is none.
    """
    expr = ungroup(expr)
    match expr:
        case syntax.String():
            return expr.value
        case syntax.Boolean():
            return expr.value
        case syntax.Name():
            precision = precision_word(expr.text, expr.span)
            return precision if precision is not None else _named(expr, ctx)
        case syntax.Binary(op="+"):
            return _sum(expr, ctx)
        case _:
            return amount(expr, ctx)


def amount(expr: syntax.Expr, ctx: Context, leaf: Leaf | None = None) -> Amount:
    """Return the value of an arithmetic expression; ``leaf`` gives metrics their meaning.

    Raises:
        RejectedError: HQ208 where it is no number, HQ216 or HQ217 where units do not fit.
    """
    expr = ungroup(expr)
    match expr:
        case syntax.Quantity():
            return literal(expr)
        case syntax.Unary(op="-"):
            return negate(amount(expr.operand, ctx, leaf))
        case syntax.Binary() if expr.op in _ARITHMETIC:
            return _arithmetic(expr, ctx, leaf)
        case syntax.Name() | syntax.Call():
            found = leaf(expr) if leaf is not None else None
            return found if found is not None else _number(expr, ctx)
        case _:
            raise not_a_number(expr, ctx)


def not_a_number(expr: syntax.Expr, ctx: Context) -> RejectedError:
    """Return the error for an expression that stands where a number belongs."""
    message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, a number is wanted here"
    return error("HQ208", message, expr.span)


def kind_of(expr: syntax.Expr) -> str:
    """Return what an expression is, in the reader's words."""
    match expr:
        case syntax.Quantity():
            known = UNITS.get(expr.unit) if expr.unit is not None else None
            return "a number" if known is None else WORDS[known[0]]
        case syntax.Binary():
            return "a condition" if expr.op in ("and", "or", "implies") else "a calculation"
        case syntax.Unary():
            return "a condition" if expr.op == "not" else "a calculation"
        case _:
            return _KINDS[type(expr)]


def describe(value: Constant) -> str:
    """Return what a constant is, in the reader's words."""
    match value:
        case Amount():
            return WORDS[value.dim]
        case bool():
            return "a truth value"
        case str():
            return "a string"
        case Precision():
            return "a precision"


def _named(name: syntax.Name, ctx: Context) -> Constant:
    """Return the value of a param; every other word gets an error that knows it."""
    if name.text not in ctx.names:
        if name.text == "fp32":
            message = "`fp32` stands only where a baseline is meant, as in `size(fp32)`"
            raise error("HQ208", message, name.span)
        if name.text in METRICS:
            message = f"`{name.text}` is a metric, a constant is wanted here"
            raise error("HQ208", message, name.span)
        if name.text in SELECTOR_WORDS:
            message = f"`{name.text}` selects layers, a value is wanted here"
            raise error("HQ208", message, name.span)
        if name.text in PROPERTIES:
            message = f"`{name.text}` is a property of a layer, a value is wanted here"
            raise error("HQ208", message, name.span)
    return param_value(name, ctx)


def _number(expr: syntax.Name | syntax.Call, ctx: Context) -> Amount:
    if isinstance(expr, syntax.Call):
        message = f"`{expr.function.text}(…)` is not known here, a number is wanted"
        raise error("HQ211", message, expr.function.span)
    value = evaluate(expr, ctx)
    if not isinstance(value, Amount):
        message = f"`{expr.text}` is {describe(value)}, a number is wanted here"
        raise error("HQ208", message, expr.span)
    return value


def _spine(expr: syntax.Binary, ops: frozenset[str]) -> tuple[syntax.Expr, list[syntax.Binary]]:
    """Return the leftmost operand and the operations applied to it, innermost first."""
    operations: list[syntax.Binary] = []
    left: syntax.Expr = expr
    while isinstance(left, syntax.Binary) and left.op in ops:
        operations.append(left)
        left = left.left
    operations.reverse()
    return left, operations


def _arithmetic(expr: syntax.Binary, ctx: Context, leaf: Leaf | None) -> Amount:
    """Return the value of a run of operations; long sums do not nest."""
    first, operations = _spine(expr, _ARITHMETIC)
    result = ctx.sink.attempt(amount, first, ctx, leaf)
    for operation in operations:
        right = ctx.sink.attempt(amount, operation.right, ctx, leaf)
        if result is None or right is None:
            result = None
            continue
        left_text = ctx.quote(first.span, operation.left.span)
        left = Operand(result, left_text, operation.left.span)
        result = _apply(
            operation, left, Operand(right, ctx.quote(operation.right.span), operation.right.span)
        )
    if result is None:
        raise RejectedError
    return result


def _apply(operation: syntax.Binary, left: Operand, right: Operand) -> Amount:
    span = operation.span
    match operation.op:
        case "+":
            return add(left, right, span)
        case "-":
            negated = Operand(negate(right.amount), right.text, right.span)
            return add(left, negated, span)
        case "*":
            return multiply(left, right, span)
        case "/":
            return divide(left, right, span)
        case "of":
            return share_of(left, right, span)
        case "and" | "or" | "implies":
            raise error("HQ208", "a condition stands where a number is wanted", span)


def _sum(expr: syntax.Binary, ctx: Context) -> Constant:
    """Return joined strings or a sum, told apart by the first operand."""
    first, operations = _spine(expr, frozenset("+"))
    value = evaluate(first, ctx)
    if not isinstance(value, str):
        return amount(expr, ctx)
    parts = [value]
    for operation in operations:
        part = evaluate(operation.right, ctx)
        if not isinstance(part, str):
            message = (
                f"`{ctx.quote(operation.right.span)}` is {describe(part)}, `+` joins strings here"
            )
            raise error("HQ208", message, operation.right.span)
        parts.append(part)
    return "".join(parts)
