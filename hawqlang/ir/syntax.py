"""SyntaxTree: what was written, every node with its span. Nothing is resolved here."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias

from hawqlang.base import Frozen, Span


class Quantity(Frozen):
    """An exact number with an optional unit as written: ``6 MiB``, ``99.99%``, ``65 TMACs/s``."""

    number: Fraction
    unit: str | None
    integral: bool
    """Whether it was written without a point and exponent."""
    span: Span


class String(Frozen):
    """A string literal, escapes already replaced."""

    value: str
    span: Span


class Boolean(Frozen):
    """``true`` or ``false``."""

    value: bool
    span: Span


class Name(Frozen):
    """An identifier or a dotted catalogue name (``nvidia.t4``); ``w4a8`` and ``fp32`` are names here too."""

    text: str
    span: Span


class ListExpr(Frozen):
    """``[a, b]``."""

    items: tuple[Expr, ...]
    span: Span


class Argument(Frozen):
    """One argument of a call; ``name`` is ``None`` when given by position."""

    name: Name | None
    value: Expr
    span: Span


class Selection(Frozen):
    """``a, b except c, d``: a union, less a union."""

    items: tuple[Expr, ...]
    excluded: tuple[Expr, ...]
    span: Span


class Call(Frozen):
    """``f(a, b = c except d where p)``; ``excluded`` and ``where`` only occur with selectors."""

    function: Name
    arguments: tuple[Argument, ...]
    excluded: tuple[Expr, ...]
    where: Expr | None
    span: Span


class Group(Frozen):
    """Parentheses: one expression, or a selection with commas or ``except``."""

    selection: Selection
    span: Span


class Binary(Frozen):
    """``left op right``; ``of`` is ``80% of X``."""

    op: Literal["+", "-", "*", "/", "of", "and", "or", "implies"]
    left: Expr
    right: Expr
    span: Span


class Unary(Frozen):
    """``-x`` or ``not p``."""

    op: Literal["-", "not"]
    operand: Expr
    span: Span


class Chain(Frozen):
    """A comparison chain: ``a <= b < c`` has three operands and two operators."""

    operands: tuple[Expr, ...]
    operators: tuple[Literal["==", "!=", "<", "<=", ">", ">="], ...]
    span: Span


class Tie(Frozen):
    """``same precision across SELECTION``; ``what`` is the word between ``same`` and ``across``."""

    what: Name
    selection: Selection
    span: Span


Expr: TypeAlias = (
    Quantity | String | Boolean | Name | ListExpr | Call | Group | Binary | Unary | Chain | Tie
)


class Setting(Frozen):
    """``name = value``."""

    name: Name
    value: Expr
    span: Span


class Block(Frozen):
    """``name { … }`` inside a declaration or a quantize block."""

    name: Name
    body: Body
    span: Span


class Body(Frozen):
    """The settings and blocks between braces, in order."""

    entries: tuple[Setting | Block, ...]
    span: Span


class Goal(Frozen):
    """One metric of an objective with its tolerance: ``perturbation within 2%``."""

    value: Expr
    within: Quantity | None
    span: Span


class Objective(Frozen):
    """``minimize a within t, b``."""

    sense: Literal["minimize", "maximize"]
    goals: tuple[Goal, ...]
    span: Span


class Constraint(Frozen):
    """``name: expression`` or ``name: each S: expression``."""

    name: Name
    each: Selection | None
    expression: Expr
    span: Span


class Subject(Frozen):
    """``subject to { … }``."""

    constraints: tuple[Constraint, ...]
    span: Span


class LayerBlock(Frozen):
    """``layer SELECTION { … }``."""

    selection: Selection
    body: Body
    span: Span


class Emit(Frozen):
    """``emit card, report`` or ``emit cuda { arch = [sm_80] }`` (then ``names`` has one element)."""

    names: tuple[Name, ...]
    body: Body | None
    span: Span


Statement: TypeAlias = Setting | Block | Objective | Subject | LayerBlock | Emit


class Import(Frozen):
    """``import "path"``."""

    path: String
    span: Span


class Param(Frozen):
    """``param name: type = default``."""

    name: Name
    type_: Name
    default: Expr | None
    span: Span


class Declaration(Frozen):
    """``model|dataset|target name { … }``."""

    kind: Literal["model", "dataset", "target"]
    name: Name
    body: Body
    span: Span


class QuantizeDecl(Frozen):
    """``quantize MODEL on TARGET with DATASET as NAME { … }``."""

    model: Name
    target: Name
    dataset: Name | None
    alias: Name | None
    statements: tuple[Statement, ...]
    span: Span
    """The whole block; diagnostics about the block as such point at ``head``."""
    head: Span


Item: TypeAlias = Import | Param | Declaration | QuantizeDecl


class IgnoreComment(Frozen):
    """``# hawq: ignore[HQ214]``: silences warnings that start on ``line`` (its own, or the next statement's)."""

    codes: tuple[str, ...]
    line: int
    """0 where no statement follows."""
    span: Span
    last_line: int = 0
    """The last line it speaks of, where a statement's head has several."""


class SyntaxTree(Frozen):
    """One parsed file."""

    file: str
    text: str
    version: Quantity
    items: tuple[Item, ...]
    ignores: tuple[IgnoreComment, ...] = ()
    partial: bool = False
    """Whether statements with syntax errors were left out: then names may be missing and absence
    proves nothing."""
