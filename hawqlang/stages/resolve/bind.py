"""Bodies and calls: which settings, blocks and arguments there are, and who gets which value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Concatenate, ParamSpec, TypeVar

from hawqlang.base import Span
from hawqlang.diagnostics import Label
from hawqlang.ir import syntax
from hawqlang.stages.resolve.constants import kind_of, ungroup
from hawqlang.stages.resolve.functions import Signature
from hawqlang.stages.resolve.read import scalar
from hawqlang.stages.resolve.report import RejectedError, choices, error, nearest, unknown
from hawqlang.stages.resolve.scope import Context, param_value

_P = ParamSpec("_P")
_T = TypeVar("_T")
_D = TypeVar("_D")

# ---- bodies ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fields:
    """The settings and blocks of a body by name."""

    ctx: Context
    what: str
    span: Span
    settings: Mapping[str, syntax.Setting]
    blocks: Mapping[str, syntax.Block]
    meant: frozenset[str]
    """What unknown entries were probably meant to be."""

    def read(
        self,
        name: str,
        reader: Callable[Concatenate[syntax.Expr, Context, _P], _T],
        default: _D,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T | _D:
        """Return a setting's value, ``default`` where it is not set or (reported) wrong."""
        setting = self.settings.get(name)
        if setting is None:
            return default
        value = self.ctx.sink.attempt(reader, setting.value, self.ctx, *args, **kwargs)
        return default if value is None else value

    def require(self, name: str, example: str) -> None:
        """Report a setting that must be there and is not."""
        if name in self.settings or name in self.blocks or name in self.meant:
            return
        if self.ctx.sink.partial:
            return
        message = f"{self.what} needs `{name}`"
        self.ctx.sink.reject(error("HQ207", message, self.span, help=f"add `{example}`"))


def fields(
    entries: tuple[syntax.Setting | syntax.Block, ...],
    ctx: Context,
    what: str,
    span: Span,
    settings: tuple[str, ...],
    blocks: tuple[str, ...] = (),
) -> Fields:
    """Return a body's entries by name; unknown and repeated ones are reported."""
    found: dict[str, syntax.Setting] = {}
    found_blocks: dict[str, syntax.Block] = {}
    meant: set[str] = set()
    for entry in entries:
        name = entry.name.text
        earlier = found.get(name) or found_blocks.get(name)
        problem = _misplaced(entry, what, settings, blocks)
        if problem is not None:
            ctx.sink.reject(problem)
            meant.add(nearest(name, (*settings, *blocks)) or name)
        elif earlier is not None:
            ctx.sink.reject(twice(f"`{name}`", what, entry.name.span, earlier.name.span))
        elif isinstance(entry, syntax.Setting):
            found[name] = entry
        else:
            found_blocks[name] = entry
    return Fields(ctx, what, span, found, found_blocks, frozenset(meant))


def twice(thing: str, what: str, span: Span, first: Span) -> RejectedError:
    """Return the error for something that may stand once and stands twice."""
    labels = (Label(span=first, message="first here"),)
    return error("HQ206", f"{thing} stands in {what} twice", span, labels=labels)


def same_name(message: str, span: Span, first: Span) -> RejectedError:
    """Return the error for a name that two things of one kind carry."""
    return error("HQ202", message, span, labels=(Label(span=first, message="first here"),))


def _misplaced(
    entry: syntax.Setting | syntax.Block,
    what: str,
    settings: tuple[str, ...],
    blocks: tuple[str, ...],
) -> RejectedError | None:
    name = entry.name.text
    if isinstance(entry, syntax.Setting):
        if name in settings:
            return None
        if name in blocks:
            message = f"`{name}` is a block, not a setting"
            return error("HQ205", message, entry.name.span, help=f"write `{name} {{ … }}`")
        message = f"{what} has no setting `{name}`"
        return unknown("HQ205", message, name, entry.name.span, (*settings, *blocks))
    if name in blocks:
        return None
    if name in settings:
        message = f"`{name}` is a setting, not a block"
        return error("HQ205", message, entry.name.span, help=f"write `{name} = …`")
    message = f"{what} has no block `{name}`"
    return unknown("HQ205", message, name, entry.name.span, blocks or settings)


# ---- calls -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one call, bound to their names."""

    ctx: Context
    function: str
    span: Span
    values: Mapping[str, syntax.Expr]
    extra: Mapping[str, syntax.Expr] = field(default_factory=dict[str, syntax.Expr])

    def read(
        self,
        name: str,
        reader: Callable[Concatenate[syntax.Expr, Context, _P], _T],
        default: _D,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T | _D:
        """Return an argument's value, ``default`` where it is absent or (reported) wrong."""
        expr = self.values.get(name)
        if expr is None:
            return default
        value = self.ctx.sink.attempt(reader, expr, self.ctx, *args, **kwargs)
        return default if value is None else value

    def extras(self) -> tuple[tuple[str, Fraction | str | bool], ...]:
        """Return the free arguments in the order written."""
        found: list[tuple[str, Fraction | str | bool]] = []
        for name, expr in self.extra.items():
            value = self.ctx.sink.attempt(scalar, expr, self.ctx)
            if value is not None:
                found.append((name, value))
        return tuple(found)


def call(expr: syntax.Expr, ctx: Context, what: str, table: Mapping[str, Signature]) -> Arguments:
    """Return the bound arguments of a function of ``table``; a bare name is a call without any.

    Raises:
        RejectedError: HQ211 for any other function, HQ212 where the arguments do not fit.
    """
    expr = ungroup(expr)
    match expr:
        case syntax.Name():
            function = _supplied(expr, ctx, table)
            arguments: tuple[syntax.Argument, ...] = ()
        case syntax.Call():
            function = expr.function
            arguments = expr.arguments
            if expr.excluded or expr.where is not None:
                word_ = "except" if expr.excluded else "where"
                message = f"`{word_}` belongs to selectors, `{function.text}` takes none"
                raise error("HQ212", message, expr.span)
        case _:
            examples = [signature.example for signature in table.values()]
            message = f"`{ctx.quote(expr.span)}` is {kind_of(expr)}, {what} is wanted here"
            raise error("HQ211", message, expr.span, help=f"write {choices(examples)}")
    signature = table.get(function.text)
    if signature is None:
        message = f"`{function.text}` is not {what}"
        guess = nearest(function.text, table)
        if guess is not None:
            raise unknown("HQ211", message, function.text, function.span, table)
        examples = [known.example for known in table.values()]
        raise error("HQ211", message, function.span, help=f"write {choices(examples)}")
    return _bind(function, arguments, signature, ctx, expr.span)


def _supplied(name: syntax.Name, ctx: Context, table: Mapping[str, Signature]) -> syntax.Name:
    """Return a bare name, or the word that a string param of that name stands for."""
    if name.text in table or name.text not in ctx.names:
        return name
    value = param_value(name, ctx)
    return syntax.Name(text=value, span=name.span) if isinstance(value, str) else name


def _bind(
    function: syntax.Name,
    arguments: tuple[syntax.Argument, ...],
    signature: Signature,
    ctx: Context,
    span: Span,
) -> Arguments:
    values: dict[str, syntax.Expr] = {}
    extra: dict[str, syntax.Expr] = {}
    before = ctx.sink.errors
    for n, argument in enumerate(arguments):
        problem = _place(n, argument, function.text, signature, values, extra)
        if problem is not None:
            ctx.sink.reject(problem)
    missing = [name for name in signature.required if name not in values]
    if ctx.sink.errors > before:
        raise RejectedError
    if missing:
        message = f"`{function.text}` needs {choices(missing).replace(' or ', ' and ')}"
        raise error("HQ212", message, span, help=f"write `{signature.example}`")
    return Arguments(ctx, function.text, span, values, extra)


def _place(
    position: int,
    argument: syntax.Argument,
    function: str,
    signature: Signature,
    values: dict[str, syntax.Expr],
    extra: dict[str, syntax.Expr],
) -> RejectedError | None:
    """Put one argument where it belongs, or return why it belongs nowhere."""
    if argument.name is None:
        return _place_positional(position, argument, function, signature, values)
    name = argument.name.text
    if name in values or name in extra:
        earlier = (values.get(name) or extra[name]).span
        return twice(f"`{name}`", f"`{function}(…)`", argument.name.span, earlier)
    if name in signature.positional or name in signature.named:
        values[name] = argument.value
        return None
    if signature.open:
        extra[name] = argument.value
        return None
    message = f"`{function}` has no argument `{name}`"
    known = (*signature.positional, *signature.named)
    return unknown("HQ212", message, name, argument.name.span, known)


def _place_positional(
    position: int,
    argument: syntax.Argument,
    function: str,
    signature: Signature,
    values: dict[str, syntax.Expr],
) -> RejectedError | None:
    if position >= len(signature.positional):
        help_ = None
        if signature.named:
            help_ = f"give {choices(signature.named)} by name: `{signature.named[0]} = …`"
        count = len(signature.positional)
        takes = "no argument" if count == 0 else f"{count} argument{'s' * (count > 1)}"
        message = f"`{function}` takes {takes} by position"
        return error("HQ212", message, argument.span, help=help_)
    name = signature.positional[position]
    if name in values:
        return twice(f"`{name}`", f"`{function}(…)`", argument.span, values[name].span)
    values[name] = argument.value
    return None
