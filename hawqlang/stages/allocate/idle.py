"""Warnings about what a spec says and nothing depends on: settings no layer has, constraints nothing breaks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeAlias

from hawqlang.base import Precision
from hawqlang.diagnostics.model import Diagnostic, Label
from hawqlang.ir.spec import (
    Build,
    Compare,
    Constraint,
    CountTerm,
    Linear,
    MetricTerm,
    PropertyCompare,
    PropertyOf,
    PropertyValue,
)
from hawqlang.stages.candidates.metrics import (
    ADDITIVE,
    Facts,
    baseline,
    shares,
    unit,
    value,
)
from hawqlang.stages.candidates.predicates import EXACT, holds, measure, positions, related
from hawqlang.stages.candidates.selectors import select
from hawqlang.stages.candidates.settings import written

Range: TypeAlias = tuple[Fraction, Fraction]
"""The least and the greatest value that any allocation gives, or bounds of them."""

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def idle(known: Facts) -> tuple[Diagnostic, ...]:
    """Return a warning for every ``layer`` block, ``precision`` and constraint without effect (HQ514 to HQ516)."""
    return (*_blocks(known), *_precision(known), *_constraints(known))


def _blocks(known: Facts) -> Iterator[Diagnostic]:
    build = known.build
    last: dict[tuple[str, str], int] = {}
    for number, rule in enumerate(build.layer_rules):
        for name in select(rule.selector, known.table):
            last |= dict.fromkeys(((name, key) for key in written(rule)), number)
    for number, rule in enumerate(build.layer_rules):
        if number in last.values() or not written(rule):
            continue
        names = select(rule.selector, known.table)
        over = sorted({last[name, key] for name in names for key in written(rule)})
        yield Diagnostic(
            code="HQ514",
            severity="warning",
            message="this `layer` block has no effect",
            span=rule.span,
            labels=tuple(
                Label(span=build.layer_rules[n].span, message="sets the same for these layers")
                for n in over
            ),
            help="of several blocks the last wins: put the special one behind the general one, or remove this",
        )


def _precision(known: Facts) -> Iterator[Diagnostic]:
    build: Build = known.build
    covered = {
        name
        for rule in build.layer_rules
        if rule.precision is not None
        for name in select(rule.selector, known.table)
    }
    if build.precision and len(covered) == len(known.table.layers):
        yield Diagnostic(
            code="HQ515",
            severity="warning",
            message="the `precision` of this block is used by no layer",
            span=build.span,
            help="`layer` blocks set it for every layer; remove it, or one of them",
        )


# ---- constraints that nothing breaks -------------------------------------------------------------


def _constraints(known: Facts) -> Iterator[Diagnostic]:
    for constraint in known.build.constraints:
        why = _never_binds(known, constraint)
        if why:
            yield Diagnostic(
                code="HQ516",
                severity="warning",
                message=f"'{constraint.name}' excludes nothing",
                span=constraint.span,
                label=why,
                help="tighten it, or remove it",
            )


def _never_binds(known: Facts, constraint: Constraint) -> str:
    """Return why every allocation satisfies a constraint, "" where it may not."""
    predicate = constraint.predicate
    match predicate:
        case PropertyCompare(left=PropertyOf(), right=PropertyValue()):
            chosen = positions(known, predicate.left, None)
            fixed = predicate.right.value
            kept = all(
                related(predicate.op, measure(predicate.left.property, p), fixed)
                for i in chosen
                for p in _candidates(known, i)
            )
            return "every candidate of these layers satisfies it" if kept else ""
        case Compare():
            return _comparison(known, predicate)
        case _:
            return ""


def _comparison(known: Facts, compare: Compare) -> str:
    if compare.op not in _MIRRORED or not _varies(compare):
        return ""
    left, right = _range(known, compare.left), _range(known, compare.right)
    if left is None or right is None:
        return ""
    low = compare.op in ("<", "<=")
    worst, bound = (left[1], right[0]) if low else (left[0], right[1])
    if not EXACT[compare.op](worst, bound):
        return ""
    return "holds at the widest" if low else "holds at the narrowest"


def _varies(compare: Compare) -> bool:
    """Return whether an allocation decides anything in a comparison: two baselines may well agree."""
    return any(
        isinstance(term.of, CountTerm) or term.of.at is None
        for term in (*compare.left.terms, *compare.right.terms)
    )


def _candidates(known: Facts, position: int) -> tuple[Precision, ...]:
    return known.candidates.layers[position].precisions()


def _range(known: Facts, form: Linear) -> Range | None:
    """Return bounds of a linear expression, each term by itself; ``None`` where one has none."""
    low = high = form.constant
    for term in form.terms:
        one = _count(known, term.of) if isinstance(term.of, CountTerm) else _metric(known, term.of)
        if one is None:
            return None
        least, most = sorted(term.coefficient * end for end in one)
        low, high = low + least, high + most
    return low, high


def _metric(known: Facts, term: MetricTerm) -> Range | None:
    if term.at is not None:
        fixed = baseline(known, term, term.at)
        return fixed, fixed
    layers = range(len(known.table.layers))
    if term.metric in ADDITIVE:
        chosen = known.chosen(term.selector)
        share = shares(known, term.metric, chosen)
        values = [
            [share[i] * unit(known, term.metric, i, p) for p in _candidates(known, i)]
            for i in chosen
        ]
        return sum(map(min, values), Fraction()), sum(map(max, values), Fraction())
    if term.metric == "switches":
        return Fraction(), Fraction(max(0, len(layers) - 1))
    if term.metric == "peak_memory":
        ends = [
            tuple(
                Precision(
                    wbits=end(p.wbits for p in _candidates(known, i)),
                    abits=end(p.abits for p in _candidates(known, i)),
                )
                for i in layers
            )
            for end in (min, max)
        ]
        return value(known, term, ends[0]), value(known, term, ends[1])
    return None


def _count(known: Facts, term: CountTerm) -> Range:
    """Return how many layers of a selection can, and how many must, meet its condition."""
    low = high = 0
    first = [_candidates(known, i)[0] for i in range(len(known.table.layers))]
    for i in known.chosen(term.selector):
        met = [
            term.where is None or holds(known, term.where, [*first[:i], p, *first[i + 1 :]], i)
            for p in _candidates(known, i)
        ]
        low, high = low + all(met), high + any(met)
    return Fraction(low), Fraction(high)
