"""What a well-typed constraint may still not say, and what it probably does not mean."""

from __future__ import annotations

from collections.abc import Iterator

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir import spec
from hawqlang.stages.resolve.metrics import ACCURACIES
from hawqlang.stages.resolve.report import error, warning
from hawqlang.stages.resolve.scope import Context
from hawqlang.stages.resolve.selectors import is_single


def comparisons(
    predicate: spec.Predicate, positive: bool = True
) -> Iterator[tuple[spec.Compare | spec.PropertyCompare, bool]]:
    """Yield every comparison in a predicate, and whether the whole grows with it."""
    match predicate:
        case spec.Compare() | spec.PropertyCompare():
            yield predicate, positive
        case spec.And() | spec.Or():
            for item in predicate.items:
                yield from comparisons(item, positive)
        case spec.Not():
            yield from comparisons(predicate.item, not positive)
        case spec.Implies():
            yield from comparisons(predicate.left, not positive)
            yield from comparisons(predicate.right, positive)
        case spec.Each():
            yield from comparisons(predicate.predicate, positive)
        case spec.Same() | spec.Truth():
            return


def metrics_of(predicate: spec.Predicate) -> set[str]:
    """Return the metrics a predicate speaks of, baselines left out."""
    return {
        term.of.metric
        for compare, _ in comparisons(predicate)
        if isinstance(compare, spec.Compare)
        for term in (*compare.left.terms, *compare.right.terms)
        if isinstance(term.of, spec.MetricTerm) and term.of.at is None
    }


def check(predicate: spec.Predicate, ctx: Context) -> None:
    """Check the form of accuracy and memory constraints; warn about doubtful premises.

    Raises:
        RejectedError: HQ245 or HQ246.
    """
    if metrics_of(predicate) & set(ACCURACIES):
        _check_accuracy(predicate)
    for compare, positive in comparisons(predicate):
        if isinstance(compare, spec.Compare):
            _check_peak_memory(compare, positive)
    for doubtful in _doubtful(predicate, ctx):
        ctx.sink.warn(doubtful)


def _check_accuracy(predicate: spec.Predicate) -> None:
    """Accept one comparison of an accuracy with a constant, and nothing else."""
    if isinstance(predicate, spec.Compare):
        for one, other in (
            (predicate.left, predicate.right),
            (predicate.right, predicate.left),
        ):
            if _is_accuracy(one) and not other.terms:
                return
    message = "an accuracy constraint is one comparison with a constant"
    help_ = "write `accuracy_drop <= 1%` as a constraint of its own"
    raise error("HQ245", message, predicate.span, help=help_)


def _is_accuracy(linear: spec.Linear) -> bool:
    if linear.constant != 0 or len(linear.terms) != 1 or linear.terms[0].coefficient != 1:
        return False
    of = linear.terms[0].of
    return isinstance(of, spec.MetricTerm) and of.metric in ACCURACIES


def _check_peak_memory(compare: spec.Compare, positive: bool) -> None:
    """Refuse anything but an upper bound on peak memory."""
    weight = sum(
        sign * term.coefficient
        for sign, linear in ((1, compare.left), (-1, compare.right))
        for term in linear.terms
        if isinstance(term.of, spec.MetricTerm)
        and term.of.metric == "peak_memory"
        and term.of.at is None
    )
    if weight == 0:
        return
    below = compare.op in (("<", "<=") if weight > 0 else (">", ">="))
    if positive and below:
        return
    message = "`peak_memory` takes upper bounds only"
    if not positive:
        message = "`peak_memory` takes upper bounds only, not under `not` or left of `implies`"
    raise error("HQ246", message, compare.span, help="write `peak_memory <= 2 MiB`")


def _doubtful(predicate: spec.Predicate, ctx: Context) -> Iterator[Diagnostic]:
    """Yield a warning for every comparison over several layers that stands in a premise."""
    for premise in _premises(predicate):
        for compare, _ in comparisons(premise):
            if not isinstance(compare, spec.PropertyCompare):
                continue
            several = [
                side
                for side in (compare.left, compare.right)
                if isinstance(side, spec.PropertyOf)
                and side.selector is not None
                and not is_single(side.selector)
            ]
            if several:
                yield _premise_warning(compare.span, several[0], ctx)


def _premises(predicate: spec.Predicate) -> Iterator[spec.Predicate]:
    """Yield what stands under `not` or left of `implies`, outermost first and once."""
    match predicate:
        case spec.Not():
            yield predicate.item
        case spec.Implies():
            yield predicate.left
            yield from _premises(predicate.right)
        case spec.And() | spec.Or():
            for item in predicate.items:
                yield from _premises(item)
        case spec.Each():
            yield from _premises(predicate.predicate)
        case spec.Compare() | spec.PropertyCompare() | spec.Same() | spec.Truth():
            return


def _premise_warning(span: Span, side: spec.PropertyOf, ctx: Context) -> Diagnostic:
    layers = ctx.quote(side.selector.span) if side.selector is not None else "S"
    message = f"`{ctx.quote(span)}` is true only where it holds for every layer selected"
    bare = side.property
    help_ = f"for a rule about each layer by itself write `each {layers}: {bare} …`"
    return warning("HQ247", message, span, help=help_)
