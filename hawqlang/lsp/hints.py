"""Inlay hints: what calculations and params in constraints come to."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from lsprotocol import types as lsp

from hawqlang.base import Span
from hawqlang.ir import literals
from hawqlang.ir.spec import Build
from hawqlang.ir.syntax import QuantizeDecl
from hawqlang.lsp.quantities import facts_of, fixed_value, is_fixed, quantity_text
from hawqlang.lsp.workspace import Snapshot
from hawqlang.stages.candidates.metrics import Facts
from hawqlang.stages.resolve.amounts import Amount
from hawqlang.stages.resolve.quantize import build_name

MAX_HINTS = 500
"""So many hints of one request are shown."""
MAX_LENGTH = 12
"""Characters of an exact quantity that is shown as it is; a longer one is rounded."""


def hints(snapshot: Snapshot, within: lsp.Range) -> list[lsp.InlayHint]:
    """Return the hints between two positions."""
    if snapshot.resolution is None:
        return []
    low, high = snapshot.text.offset(within.start), snapshot.text.offset(within.end)
    found: list[lsp.InlayHint] = []
    for span, text in (*_sides(snapshot, low, high), *_params(snapshot, low, high)):
        position = snapshot.text.position(snapshot.offsets(span)[1])
        found.append(lsp.InlayHint(position, f"= {text}", padding_left=True))
        if len(found) == MAX_HINTS:
            break
    return found


def _sides(snapshot: Snapshot, low: int, high: int) -> Iterator[tuple[Span, str]]:
    """Yield every calculated side of a comparison, with what it comes to."""
    resolution = snapshot.resolution
    known: dict[str, Facts | None] = {}
    for side in () if resolution is None else resolution.index.sides:
        if side.literal or side.span.file != snapshot.shown or not is_fixed(side.amount):
            continue
        start, end = snapshot.offsets(side.span)
        if end < low or start > high:
            continue
        value = _value(side.amount, build_at(snapshot, side.span.line), snapshot, known)
        if value is not None:
            exact = literals.quantity_text(value, side.amount.dim)
            plain = side.amount.is_constant and len(exact) <= MAX_LENGTH
            yield side.span, exact if plain else quantity_text(value, side.amount.dim)


def _value(
    amount: Amount, build: Build | None, snapshot: Snapshot, known: dict[str, Facts | None]
) -> Fraction | None:
    """Return what a fixed amount comes to in a build; ``known`` keeps what its layers cost."""
    if not amount.terms:
        return amount.constant
    if build is None:
        return None
    if build.name not in known:
        known[build.name] = facts_of(build, snapshot)
    found = known[build.name]
    return None if found is None else fixed_value(amount, found)


def _params(snapshot: Snapshot, low: int, high: int) -> Iterator[tuple[Span, str]]:
    """Yield every use of a param outside of comparisons, which say what they come to as a whole."""
    resolution = snapshot.resolution
    if resolution is None:
        return
    index = resolution.index
    covered = [snapshot.offsets(s.span) for s in index.sides if s.span.file == snapshot.shown]
    for use in index.uses:
        value = index.params.get(use.declared.name.text)
        if use.declared.kind != "param" or value is None or use.span.file != snapshot.shown:
            continue
        start, end = snapshot.offsets(use.span)
        if end < low or start > high or any(a <= start and end <= b for a, b in covered):
            continue
        yield use.span, value.text


def build_at(snapshot: Snapshot, line: int) -> Build | None:
    """Return the build whose block holds a line, if it could be resolved."""
    if snapshot.resolution is None:
        return None
    for item in snapshot.tree.items:
        if isinstance(item, QuantizeDecl) and item.span.line <= line <= item.span.end_line:
            return snapshot.resolution.index.builds.get(build_name(item).text)
    return None
