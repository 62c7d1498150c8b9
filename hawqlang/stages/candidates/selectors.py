"""Selectors: which layers of a network a spec means, and the groups that ties are made of."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import assert_never

from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.diagnostics.suggest import nearest
from hawqlang.ir.layers import Layer, LayerTable
from hawqlang.ir.spec import (
    Channels,
    Comparator,
    Difference,
    Glob,
    Intersection,
    KernelSize,
    Keyword,
    Selector,
    Union,
)

COMPARE: dict[Comparator, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def select(selector: Selector, table: LayerTable) -> tuple[str, ...]:
    """Return the names of the layers that ``selector`` means, in execution order.

    Raises:
        HawqError: it, or a selector it is made of, matches no layer (HQ502).
    """
    found = unmatched(selector, table)
    if found:
        raise HawqError(*found)
    names = _names(selector, table)
    return tuple(layer.name for layer in table.layers if layer.name in names)


def groups(selector: Selector, table: LayerTable) -> tuple[tuple[str, ...], ...]:
    """Return the groups that ``selector`` forms for ``same … across``, each in execution order.

    ``residual`` and ``shared_input`` form theirs, a glob with ``{name}`` one per value; any other
    selector forms one.

    Raises:
        HawqError: the selector matches no layer (HQ502).
    """
    selected = select(selector, table)
    match selector:
        case Keyword(word="residual"):
            formed = table.residual
        case Keyword(word="shared_input"):
            formed = table.shared_input
        case Glob() if "{" in selector.pattern:
            formed = _captured(selector, table)
        case _:
            return (selected,)
    order = {layer.name: index for index, layer in enumerate(table.layers)}
    return tuple(tuple(sorted(group, key=order.__getitem__)) for group in formed)


def unmatched(selector: Selector, table: LayerTable) -> tuple[Diagnostic, ...]:
    """Return a diagnostic (HQ502) for every selector in ``selector`` that matches no layer."""
    inner = tuple(d for part in _parts(selector) for d in unmatched(part, table))
    if inner or _names(selector, table):
        return inner
    return (
        Diagnostic(
            code="HQ502",
            severity="error",
            message=f"{describe(selector)} matches no layer",
            span=selector.span,
            label="no layer is like this",
            help=_nearest(selector, table),
        ),
    )


def describe(selector: Selector) -> str:  # noqa: PLR0911 - one line a selector
    """Return the selector as a reader would write it."""
    match selector:
        case Glob():
            return f'"{selector.pattern}"'
        case Keyword():
            return selector.word
        case KernelSize():
            return f"kernel({selector.height}, {selector.width})"
        case Channels():
            return f"channels {selector.op} {selector.value}"
        case Union():
            return ", ".join(describe(item) for item in selector.items)
        case Intersection():
            return " and ".join(_bracketed(item) for item in selector.items)
        case Difference():
            return f"{_bracketed(selector.base)} except {describe(selector.minus)}"
        case _:
            assert_never(selector)


def pattern(glob: str) -> re.Pattern[str]:
    """Return the regular expression of a glob.

    ``*`` is any run of characters, dots included, ``?`` one character, ``{name}`` one path segment;
    the same name again means the same segment.
    """
    names: list[str] = []
    out: list[str] = []
    for piece in re.split(r"(\*|\?|\{[^{}]*\})", glob):
        if piece == "*":
            out.append(".*")
        elif piece == "?":
            out.append(".")
        elif piece.startswith("{") and piece.endswith("}"):
            name = piece[1:-1]
            if name in names:
                out.append(f"(?P=g{names.index(name)})")
            else:
                out.append(f"(?P<g{len(names)}>[^.]+)")
                names.append(name)
        else:
            out.append(re.escape(piece))
    return re.compile("".join(out), re.DOTALL)


def _bracketed(selector: Selector) -> str:
    text = describe(selector)
    return f"({text})" if isinstance(selector, Union | Intersection | Difference) else text


def _parts(selector: Selector) -> tuple[Selector, ...]:
    match selector:
        case Union() | Intersection():
            return selector.items
        case Difference():
            return (selector.base, selector.minus)
        case Glob() | Keyword() | KernelSize() | Channels():
            return ()
        case _:
            assert_never(selector)


def _names(  # noqa: PLR0911 - one line a selector
    selector: Selector, table: LayerTable
) -> frozenset[str]:
    match selector:
        case Glob():
            regex = pattern(selector.pattern)
            return _where(table, lambda layer: regex.fullmatch(layer.name) is not None)
        case Keyword():
            return _keyword(selector, table)
        case KernelSize():
            kernel = (selector.height, selector.width)
            return _where(table, lambda layer: layer.kernel == kernel)
        case Channels():
            holds = COMPARE[selector.op]
            return _where(
                table,
                lambda layer: layer.channels is not None and holds(layer.channels, selector.value),
            )
        case Union():
            return frozenset[str]().union(*(_names(item, table) for item in selector.items))
        case Intersection():
            first, *rest = (_names(item, table) for item in selector.items)
            return first.intersection(*rest)
        case Difference():
            return _names(selector.base, table) - _names(selector.minus, table)
        case _:
            assert_never(selector)


def _where(table: LayerTable, holds: Callable[[Layer], bool]) -> frozenset[str]:
    return frozenset(layer.name for layer in table.layers if holds(layer))


def _keyword(selector: Keyword, table: LayerTable) -> frozenset[str]:  # noqa: PLR0911 - one line a word
    match selector.word:
        case "first":
            return frozenset(layer.name for layer in table.layers[:1])
        case "last":
            return frozenset(layer.name for layer in table.layers[-1:])
        case "all":
            return _where(table, lambda _: True)
        case "conv":
            return _where(table, lambda layer: layer.kind in {"conv", "depthwise"})
        case "linear" | "depthwise":
            return _where(table, lambda layer: layer.kind == selector.word)
        case "pointwise":
            return _where(
                table,
                lambda layer: layer.kind in {"conv", "depthwise"} and layer.kernel == (1, 1),
            )
        case "downsample":
            return frozenset(table.downsample)
        case "residual":
            return frozenset(name for group in table.residual for name in group)
        case "shared_input":
            return frozenset(name for group in table.shared_input for name in group)
        case _:
            assert_never(selector.word)


def _captured(glob: Glob, table: LayerTable) -> tuple[tuple[str, ...], ...]:
    regex = pattern(glob.pattern)
    formed: dict[tuple[str, ...], list[str]] = {}
    for layer in table.layers:
        match = regex.fullmatch(layer.name)
        if match is not None:
            formed.setdefault(match.groups(), []).append(layer.name)
    return tuple(tuple(group) for group in formed.values())


def _nearest(selector: Selector, table: LayerTable) -> str | None:
    if isinstance(selector, Glob):
        close = nearest(selector.pattern, tuple(layer.name for layer in table.layers))
        if close:
            return "the nearest names are " + ", ".join(f"'{name}'" for name in close)
    if not table.layers:
        return "the network has no layer with weights"
    first, last = table.layers[0].name, table.layers[-1].name
    return f"the network's {len(table.layers)} layers run from '{first}' to '{last}'"
