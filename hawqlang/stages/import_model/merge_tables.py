"""Makes one table of every run of elementwise operators that reads one tensor.

Exporters write SiLU as ``x · sigmoid(x)``, GELU as five operators, hard-swish as ``x · clip(x + 3, 0, 6) / 6``. Each
is a function of a single tensor, so one table computes it, rounded once, however many operators it was written with.
What remains unread afterwards is dropped by the next pass.
"""

from __future__ import annotations

from collections.abc import Mapping

from hawqlang.arith import functions
from hawqlang.arith.functions import Function
from hawqlang.ir.graph import Add, BatchNorm, Clamp, Multiply, Operator, Table
from hawqlang.stages.import_model.draft import Draft, Uniform
from hawqlang.stages.import_model.rewrite import Rewriter

Seen = dict[str, Function]
"""A value as functions of values above it, itself among them."""
IDENTITY: Function = ("x",)


def merge_tables(draft: Draft) -> Draft:
    """Return the draft with each run of elementwise operators of one tensor made one table."""
    rewriter = Rewriter(draft)
    seen: dict[str, Seen] = {}
    place = {name: i for i, name in enumerate(draft.shapes)}
    for node in rewriter:
        own = _own(node, seen, draft.uniform)
        seen[node.output] = {**own, node.output: IDENTITY}
        root = _root(node, own, rewriter, draft.uniform, place)
        if root is not None:
            table = Table(name=node.name, output=node.output, x=root, function=own[root])
            rewriter.exchange(node, table)
    return rewriter.draft()


def _own(node: Operator, seen: Mapping[str, Seen], uniform: Mapping[str, Uniform]) -> Seen:
    """Return a node's result as functions of values above it; empty where it is none."""
    match node:
        case Table(slope=None):
            found = _through(node.function, _above(node.x, seen))
        case Clamp():
            found = _through(functions.clamp(node.low, node.high), _above(node.x, seen))
        case BatchNorm() if node.output in uniform:
            found = _through(functions.scaled(*uniform[node.output]), _above(node.x, seen))
        case Multiply() | Add():
            a, b = _above(node.a, seen), _above(node.b, seen)
            word = "mul" if isinstance(node, Multiply) else "add"
            found = {x: (*a[x], *b[x], word) for x in a if x in b}
        case _:
            found = {}
    return {x: f for x, f in found.items() if len(f) <= functions.LONGEST}


def _above(value: str, seen: Mapping[str, Seen]) -> Seen:
    return seen.get(value, {value: IDENTITY})


def _through(function: Function, above: Seen) -> Seen:
    return {x: functions.composed(function, inner) for x, inner in above.items()}


def _root(
    node: Operator,
    own: Seen,
    rewriter: Rewriter,
    uniform: Mapping[str, Uniform],
    place: Mapping[str, int],
) -> str | None:
    """Return the value that a table in a node's place would read; ``None`` where the node stays as it is."""
    match node:
        case Table(slope=None) | BatchNorm():
            root = _through_runs(node.x, rewriter, uniform)
            tables = isinstance(node, Table) or isinstance(rewriter.producer(node.x), Table)
            return root if root in own and tables and root != node.x else None
        case Multiply() | Add():
            common = sorted(own, key=lambda x: place[x])
            curved = isinstance(node, Multiply) or any(
                isinstance(rewriter.producer(x), Table) for x in (node.a, node.b)
            )
            return common[-1] if common and curved and node.a != node.b else _square(node, common)
        case _:
            return None


def _square(node: Operator, common: list[str]) -> str | None:
    """Return the operand of a product with itself."""
    own = isinstance(node, Multiply) and node.a == node.b and node.a in common
    return node.a if own and isinstance(node, Multiply) else None


def _through_runs(value: str, rewriter: Rewriter, uniform: Mapping[str, Uniform]) -> str:
    """Return the value above all tables and uniform scalings that ``value`` came through."""
    node = rewriter.producer(value)
    while (isinstance(node, Table) and node.slope is None) or (
        isinstance(node, BatchNorm) and node.output in uniform
    ):
        value = node.x
        node = rewriter.producer(value)
    return value
