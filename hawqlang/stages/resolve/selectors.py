"""Selectors: which layers a rule speaks about."""

from __future__ import annotations

import re

from hawqlang.base import Span
from hawqlang.diagnostics import Fix
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.constants import evaluate, kind_of, ungroup
from hawqlang.stages.resolve.index import Selected
from hawqlang.stages.resolve.read import whole
from hawqlang.stages.resolve.report import RejectedError, error, joined, unknown
from hawqlang.stages.resolve.scope import SELECTOR_FORMS, SELECTOR_WORDS, Context

_HOLE = re.compile(r"\{([^{}]*)\}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FLIPPED: dict[str, spec.Comparator] = {
    "==": "==",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}


def selection(chosen: syntax.Selection, ctx: Context) -> spec.Selector:
    """Return the selector of ``a, b except c, d``."""
    return selected(chosen.items, chosen.excluded, chosen.span, ctx)


def selected(
    items: tuple[syntax.Expr, ...], excluded: tuple[syntax.Expr, ...], around: Span, ctx: Context
) -> spec.Selector:
    """Return the union of ``items`` without the union of ``excluded``; ``around`` holds them."""
    if not items:
        help_ = 'write `all` or a `"pattern"`'
        raise error("HQ249", "no layer is selected", around, help=help_)
    span = joined(items[0].span, (*items, *excluded)[-1].span)
    base = ctx.sink.attempt(_union, items, ctx)
    if not excluded:
        if base is None:
            raise RejectedError
        return base
    minus = ctx.sink.attempt(_union, excluded, ctx)
    if base is None or minus is None:
        raise RejectedError
    return spec.Difference(base=base, minus=minus, span=span)


def is_single(selector: spec.Selector) -> bool:
    """Return whether a selector can only ever name one layer."""
    match selector:
        case spec.Keyword():
            return selector.word in ("first", "last")
        case spec.Glob():
            return not any(mark in selector.pattern for mark in "*?{")
        case spec.Intersection():
            return any(is_single(item) for item in selector.items)
        case spec.Difference():
            return is_single(selector.base)
        case _:
            return False


def _union(items: tuple[syntax.Expr, ...], ctx: Context) -> spec.Selector:
    chosen = ctx.sink.all_of([ctx.sink.attempt(_item, item, ctx) for item in items])
    if len(chosen) == 1:
        return chosen[0]
    return spec.Union(items=chosen, span=joined(items[0].span, items[-1].span))


def _item(expr: syntax.Expr, ctx: Context) -> spec.Selector:
    expr = ungroup(expr)
    found = _selector(expr, ctx)
    ctx.index.selectors.append(Selected(expr.span, found))
    return found


def _selector(expr: syntax.Expr, ctx: Context) -> spec.Selector:
    match expr:
        case syntax.Group():
            return selection(expr.selection, ctx)
        case syntax.Name():
            return _word(expr, ctx)
        case syntax.String() | syntax.Binary(op="+"):
            return _glob(expr, ctx)
        case syntax.Binary(op="and"):
            return _intersection(expr, ctx)
        case syntax.Chain():
            return _channels(expr, ctx)
        case syntax.Call() if expr.function.text == "kernel":
            return _kernel(expr, ctx)
        case _:
            raise _not_a_selector(expr, ctx)


def _word(name: syntax.Name, ctx: Context) -> spec.Selector:
    if name.text in SELECTOR_WORDS:
        return spec.Keyword.model_validate({"word": name.text, "span": name.span})
    if name.text in SELECTOR_FORMS:
        form = "kernel(3, 3)" if name.text == "kernel" else "channels >= 256"
        raise error("HQ249", f"`{name.text}` needs a value", name.span, help=f"write `{form}`")
    if name.text in ctx.names:
        return _glob(name, ctx)
    message = f"`{name.text}` is not a selector"
    if "." in name.text:
        fix = Fix(span=name.span, replacement=f'"{name.text}"')
        help_ = f'layer names are quoted: `"{name.text}"`'
        raise error("HQ249", message, name.span, help=help_, fix=fix)
    if ctx.sink.partial:
        raise RejectedError
    rejection = unknown("HQ249", message, name.text, name.span, SELECTOR_WORDS)
    if rejection.diagnostic is not None and rejection.diagnostic.fix is None:
        raise error("HQ249", message, name.span, help=f'layer names are quoted: `"{name.text}"`')
    raise rejection


def _glob(expr: syntax.Expr, ctx: Context) -> spec.Glob:
    """Return the pattern a string or string param gives."""
    value = evaluate(expr, ctx)
    if not isinstance(value, str):
        raise _not_a_selector(expr, ctx)
    problem = _pattern_problem(value)
    if problem is not None:
        help_ = "`*` is any run of characters, `?` one, `{name}` one segment between dots"
        raise error("HQ250", problem, expr.span, help=help_)
    return spec.Glob(pattern=value, span=expr.span)


def _pattern_problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern on layer names, ``None`` where nothing is."""
    if not pattern:
        return "the pattern is empty and matches no layer"
    holes: list[str] = _HOLE.findall(pattern)
    rest = _HOLE.sub("", pattern)
    if "{" in rest or "}" in rest:
        return f'the pattern "{pattern}" has a brace without its partner'
    for n, hole in enumerate(holes):
        if not _IDENTIFIER.fullmatch(hole):
            return f'`{{{hole}}}` in the pattern "{pattern}" is no name in braces'
        if hole in holes[:n]:
            return f'the pattern "{pattern}" uses `{{{hole}}}` twice'
    if any(not character.isprintable() for character in pattern):
        return "the pattern holds an invisible character"
    return None


def _intersection(expr: syntax.Binary, ctx: Context) -> spec.Selector:
    operands: list[syntax.Expr] = []
    left: syntax.Expr = expr
    while isinstance(left, syntax.Binary) and left.op == "and":
        operands.append(left.right)
        left = left.left
    operands.append(left)
    operands.reverse()
    chosen = ctx.sink.all_of([ctx.sink.attempt(_item, operand, ctx) for operand in operands])
    return spec.Intersection(items=chosen, span=expr.span)


def _channels(expr: syntax.Chain, ctx: Context) -> spec.Selector:
    """Return ``channels >= 256``; a chain such as ``64 <= channels <= 256`` is an intersection."""
    places = [n for n, operand in enumerate(expr.operands) if _is_channels(operand)]
    if len(places) != 1 or len(expr.operands) > 3 or (len(expr.operands) == 3 and places != [1]):
        raise _not_a_selector(expr, ctx)
    found: list[spec.Selector] = []
    for n, op in enumerate(expr.operators):
        left, right = expr.operands[n], expr.operands[n + 1]
        span = joined(left.span, right.span)
        if _is_channels(left):
            value = whole(right, ctx)
            found.append(spec.Channels(op=op, value=value, span=span))
        else:
            value = whole(left, ctx)
            found.append(spec.Channels(op=_FLIPPED[op], value=value, span=span))
    if len(found) == 1:
        return found[0]
    return spec.Intersection(items=tuple(found), span=expr.span)


def _is_channels(expr: syntax.Expr) -> bool:
    expr = ungroup(expr)
    return isinstance(expr, syntax.Name) and expr.text == "channels"


def _kernel(expr: syntax.Call, ctx: Context) -> spec.KernelSize:
    positional = all(argument.name is None for argument in expr.arguments)
    if expr.excluded or expr.where is not None or len(expr.arguments) != 2 or not positional:
        message = "`kernel` takes a height and a width"
        raise error("HQ212", message, expr.span, help="write `kernel(3, 3)`")
    height, width = ctx.sink.all_of(
        [ctx.sink.attempt(whole, argument.value, ctx) for argument in expr.arguments]
    )
    return spec.KernelSize(height=height, width=width, span=expr.span)


def _not_a_selector(expr: syntax.Expr, ctx: Context) -> RejectedError:
    help_: str | None = 'select with `all`, `first`, `conv`, `"pattern"`, `kernel(3, 3)`, …'
    match expr:
        case syntax.Binary(op="or"):
            help_ = "a comma unites: `first, last`"
        case syntax.Unary(op="not"):
            help_ = "`except` takes away: `all except first`"
        case syntax.ListExpr():
            help_ = "selectors stand without brackets: `first, last`"
        case _:
            pass
    message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, a selector is wanted here"
    return error("HQ249", message, expr.span, help=help_)
