"""A bound on how deeply expressions nest, so that everything after it may recurse."""

from __future__ import annotations

from collections.abc import Iterator

from hawqlang.base import Frozen, Span
from hawqlang.ir import syntax
from hawqlang.stages.resolve.report import Sink, error

MAX_NESTING = 64
_FLAT = (frozenset(("+", "-", "*", "/", "of")), frozenset(("and",)), frozenset(("or",)))


def prune(tree: syntax.SyntaxTree, sink: Sink) -> syntax.SyntaxTree:
    """Return the tree without the items that nest too deeply; each is reported."""
    kept: list[syntax.Item] = []
    for item in tree.items:
        place = _too_deep(item)
        if place is None:
            kept.append(item)
        else:
            message = f"this expression nests deeper than {MAX_NESTING} levels"
            sink.reject(error("HQ256", message, place, help="split it into several constraints"))
    if len(kept) == len(tree.items):
        return tree
    return tree.replace(items=tuple(kept), partial=True)


def _too_deep(item: syntax.Item) -> Span | None:
    """Return the place where an item nests too deeply; runs of one operator count once."""
    stack: list[tuple[Frozen, int]] = [(item, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_NESTING:
            span = getattr(node, "span", None)
            return span if isinstance(span, Span) else item.span
        if _is_short(node, MAX_NESTING - depth):
            continue
        stack.extend((child, depth + _step(node, child)) for child in _children(node))
    return None


def _is_short(node: Frozen, left: int) -> bool:
    """Return whether a node has too few characters to nest so many levels: each takes one."""
    span: object = node.__dict__.get("span")
    return (
        isinstance(span, Span)
        and span.line == span.end_line
        and span.end_column - span.column <= left
    )


def _step(node: Frozen, child: Frozen) -> int:
    """Return how much deeper a child is: nothing along a run and through parentheses."""
    if isinstance(node, syntax.Binary) and child is node.left and isinstance(child, syntax.Binary):
        return 0 if any(node.op in run and child.op in run for run in _FLAT) else 1
    if isinstance(node, syntax.Group | syntax.Selection | syntax.Argument):
        return 0
    return int(isinstance(node, syntax.Binary | syntax.Unary | syntax.Call | syntax.ListExpr))


def _children(node: Frozen) -> Iterator[Frozen]:
    for value in node.__dict__.values():
        if isinstance(value, Frozen) and not isinstance(value, Span):
            yield value
        elif isinstance(value, tuple):
            for element in value:  # pyright: ignore[reportUnknownVariableType]
                if isinstance(element, Frozen):
                    yield element
