"""Quantities as an editor shows them."""

from __future__ import annotations

from fractions import Fraction

from hawqlang.diagnostics import HawqError
from hawqlang.ir.spec import Build, Linear, MetricTerm
from hawqlang.ir.units import Dim
from hawqlang.lsp.layers import Head, candidates_of, table_of
from hawqlang.lsp.workspace import Snapshot
from hawqlang.stages.candidates.metrics import facts
from hawqlang.stages.candidates.predicates import linear
from hawqlang.stages.resolve.amounts import Amount
from hawqlang.units import duration, size, work


def quantity_text(value: Fraction, dim: Dim) -> str:  # noqa: PLR0911 - one line a dimension
    """Return a quantity in base units as a reader writes it, to three digits."""
    number = float(value)
    match dim:
        case "size":
            return size(number)
        case "time":
            return duration(number)
        case "macs":
            return work(number, "MACs")
        case "bops":
            return work(number, "BOPS")
        case "size/s":
            return work(number, "B/s")
        case "macs/s":
            return work(number, "MACs/s")
        case "ratio" | "share":
            return f"{100 * number:.3g}%"
        case "number":
            return f"{number:.6g}"


def baseline_value(amount: Amount, build: Build, snapshot: Snapshot) -> Fraction | None:
    """Return what an amount of constants and baselines comes to; ``None`` where an allocation decides."""
    if amount.divisor is not None:
        return None
    if any(not isinstance(term.of, MetricTerm) or term.of.at is None for term in amount.terms):
        return None
    if not amount.terms:
        return amount.constant
    table = table_of(snapshot, Head(build.model.name, build.target.name, build.name))
    candidates = None if table is None else candidates_of(build, table)
    if table is None or candidates is None:
        return None
    known = facts(build, table, candidates)
    form = Linear(dimension="number", constant=amount.constant, terms=amount.terms)
    try:
        return linear(known, form, ())
    except HawqError:
        return None
