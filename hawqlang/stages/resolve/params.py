"""Params: typed literals that ``--set`` overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from hawqlang.base import Precision, Span
from hawqlang.diagnostics import Diagnostic
from hawqlang.diagnostics.model import ToolError
from hawqlang.ir import spec, syntax
from hawqlang.ir.literals import quantity_text, string_text
from hawqlang.ir.units import WORDS, Dim
from hawqlang.stages.resolve.amounts import Amount, missing_unit, negate
from hawqlang.stages.resolve.constants import describe, kind_of, literal
from hawqlang.stages.resolve.report import RejectedError, choices, error, nearest, unknown
from hawqlang.stages.resolve.scope import Constant, precision_word

TYPES: tuple[str, ...] = get_args(spec.ParamValue.model_fields["type"].annotation)

_WANTED: Mapping[str, tuple[Dim, ...]] = {
    "int": ("number",),
    "float": ("number",),
    "size": ("size",),
    "time": ("time",),
    "work": ("macs", "bops"),
    "ratio": ("ratio",),
}
_ARTICLES: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a plain number",
    "bool": "`true` or `false`",
    "string": "a string",
    "size": "a size such as `6 MiB`",
    "time": "a time such as `2 ms`",
    "work": "work such as `3 GMACs` or `60 GBOPS`",
    "ratio": "a ratio such as `75%`",
    "precision": "a precision such as `w4a8`",
}
_NUMBER = re.compile(
    r"(-?)\s*([0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-z/%]*)"
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A param's value as constants use it and as the spec records it."""

    constant: Constant
    value: spec.ParamValue


def check_overrides(overrides: Mapping[str, str], known: Mapping[str, syntax.Param]) -> None:
    """Check that every ``--set`` names a param.

    Raises:
        ToolError: HQ219 with one diagnostic for every name that is none.
    """
    wrong: list[Diagnostic] = []
    for name in sorted(set(overrides) - set(known)):
        guess = nearest(name, known)
        help_ = f"did you mean `{guess}`?" if guess else _declared(known)
        message = f"`--set {name}=…` names no param"
        wrong.append(Diagnostic(code="HQ219", severity="error", message=message, help=help_))
    if wrong:
        raise ToolError(*wrong)


def _declared(known: Mapping[str, syntax.Param]) -> str:
    return f"declared here: {choices(sorted(known))}" if known else "the spec declares no param"


def param(node: syntax.Param, override: str | None, *, partial: bool = False) -> Resolved:
    """Return the value of a param: its override, else its default.

    Raises:
        RejectedError: HQ210 for an unknown type, HQ227 without a value, else for a wrong one.
    """
    kind = node.type_.text
    if kind not in TYPES:
        message = f"`{kind}` is not a type of param"
        raise unknown("HQ210", message, kind, node.type_.span, TYPES)
    name = node.name.text
    if override is not None:
        constant = _typed(_parsed(override, kind, name, node.span), kind, override, node.span)
    elif node.default is not None:
        constant = _typed(_literal(node.default), kind, None, node.default.span)
    elif partial:
        raise RejectedError  # its default may be what could not be read
    else:
        message = f"param `{name}` has no value"
        help_ = f"give it one with `--set {name}=…`, or a default: `param {name}: {kind} = …`"
        raise error("HQ227", message, node.span, help=help_)
    value = spec.ParamValue.model_validate(
        {
            "name": name,
            "type": kind,
            "value": constant.constant if isinstance(constant, Amount) else constant,
            "text": text_of(constant),
            "overridden": override is not None,
            "span": node.span,
        }
    )
    return Resolved(constant, value)


def text_of(constant: Constant) -> str:
    """Return the exact literal of a constant."""
    match constant:
        case Amount():
            return quantity_text(constant.constant, constant.dim)
        case bool():
            return "true" if constant else "false"
        case str():
            return string_text(constant)
        case Precision():
            return str(constant)


def _literal(expr: syntax.Expr) -> Constant:
    """Return the value of a default, which must be a literal."""
    match expr:
        case syntax.Quantity():
            found = literal(expr)
            if found.dim == "number" and not expr.integral:
                return _Inexact(found.dim, found.constant)
            return found
        case syntax.Unary(op="-", operand=syntax.Quantity() as inner):
            value = _literal(inner)
            return negate(value) if isinstance(value, Amount) else value
        case syntax.String() | syntax.Boolean():
            return expr.value
        case syntax.Name():
            precision = precision_word(expr.text, expr.span)
            if precision is not None:
                return precision
            message = f"`{expr.text}` is a name, a default is a literal"
            help_ = "strings stand in double quotes, precisions look like `w4a8`"
            raise error("HQ208", message, expr.span, help=help_)
        case _:
            pass
    message = f"a default is a literal, not {kind_of(expr)}"
    raise error("HQ208", message, expr.span)


@dataclass(frozen=True, slots=True)
class _Inexact(Amount):
    """A number written with a point or exponent, which is no ``int``."""


def _parsed(text: str, kind: str, name: str, span: Span) -> Constant:
    """Return the value a ``--set`` text stands for."""
    bare = text.strip()
    if kind == "string":
        return text
    if kind == "bool" and bare in ("true", "false"):
        return bare == "true"
    if kind == "precision":
        precision = precision_word(bare, span)
        if precision is not None:
            return precision
    match = _NUMBER.fullmatch(bare)
    if kind not in _WANTED or match is None:
        message = f"`--set {name}={text}` is not {_ARTICLES[kind]}"
        raise error("HQ208", message, span)
    quantity = syntax.Quantity(
        number=Fraction(match[2].replace("_", "")) * (-1 if match[1] else 1),
        unit=match[3] or None,
        integral=match[2].replace("_", "").isdigit(),
        span=span,
    )
    return _literal(quantity)


def _typed(constant: Constant, kind: str, override: str | None, span: Span) -> Constant:
    """Return the constant if it is of the param's type."""
    match constant:
        case Amount() if kind in _WANTED:
            return _fitting(constant, kind, override, span)
        case bool() if kind == "bool":
            return constant
        case str() if kind == "string":
            return constant
        case Precision() if kind == "precision":
            return constant
        case _:
            message = f"the param is of type `{kind}`, the value is {describe(constant)}"
            raise error("HQ208", message, span, help=f"write {_ARTICLES[kind]}")


def _fitting(found: Amount, kind: str, override: str | None, span: Span) -> Amount:
    wanted = _WANTED[kind]
    if kind == "int" and found.dim == "number" and isinstance(found, _Inexact):
        raise error("HQ208", "the value is not a whole number", span)
    if found.dim in wanted:
        return Amount(found.dim, found.constant)
    if found.dim == "number":
        text = override.strip() if override is not None else quantity_text(found.constant, "number")
        raise missing_unit(found, text, wanted[0], span)
    message = f"the param is of type `{kind}`, the value is {WORDS[found.dim]}"
    raise error("HQ216", message, span, help=f"write {_ARTICLES[kind]}")
