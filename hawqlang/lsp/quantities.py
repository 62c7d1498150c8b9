"""Quantities as an editor shows them."""

from __future__ import annotations

from fractions import Fraction

from hawqlang.diagnostics import HawqError
from hawqlang.ir.spec import Build, Linear, MetricTerm
from hawqlang.ir.units import Dim
from hawqlang.lsp.layers import Head, candidates_of, table_of
from hawqlang.lsp.workspace import Snapshot
from hawqlang.stages.candidates.metrics import Facts, facts
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


def facts_of(build: Build, snapshot: Snapshot) -> Facts | None:
    """Return the layers of a build and what they cost; ``None`` where they are not known."""
    table = table_of(snapshot, Head(build.model.name, build.target.name, build.name))
    candidates = None if table is None else candidates_of(build, table)
    return None if table is None or candidates is None else facts(build, table, candidates)


def is_fixed(amount: Amount) -> bool:
    """Return whether an amount is made of constants and baselines, so that no allocation changes it."""
    return amount.divisor is None and all(
        isinstance(term.of, MetricTerm) and term.of.at is not None for term in amount.terms
    )


def fixed_value(amount: Amount, known: Facts) -> Fraction | None:
    """Return what a fixed amount comes to; ``None`` where the layers do not say."""
    form = Linear(dimension="number", constant=amount.constant, terms=amount.terms)
    try:
        return linear(known, form, ())
    except HawqError:
        return None
