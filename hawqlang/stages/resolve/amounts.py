"""Exact arithmetic on quantities and linear expressions of metrics.

An ``Amount`` is ``(constant + Σ coefficient · metric) / divisor``. Without terms and divisor it is
a plain quantity. The divisor is ``None`` or a positive combination of *baselines* (``size(fp32)``):
numbers the compiler knows before it allocates anything, so ``X / Y <= r`` is read as ``X <= r · Y``
and stays linear. That is its meaning also where a baseline happens to be zero. Any other quotient
or product of metrics is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hawqlang.base import Span
from hawqlang.ir import spec
from hawqlang.ir.units import OFFERED, SCALARS, WORDS, Dim
from hawqlang.stages.resolve.report import RejectedError, error


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity, or a linear expression of metrics, in the base unit of ``dim``."""

    dim: Dim
    constant: Fraction
    terms: tuple[spec.Term, ...] = ()
    divisor: Amount | None = None

    @property
    def is_constant(self) -> bool:
        """Whether it holds no metric, baselines included."""
        return not self.terms and self.divisor is None


@dataclass(frozen=True, slots=True)
class Operand:
    """An amount with the text and place it was written at, for messages."""

    amount: Amount
    text: str
    span: Span


def negate(a: Amount) -> Amount:
    """Return ``-a``."""
    return _scaled(a, Fraction(-1))


def add(left: Operand, right: Operand, span: Span) -> Amount:
    """Return ``left + right``; both must have the same dimension."""
    dim = common_dimension(left, right, span)
    a, b = left.amount, right.amount
    if a.divisor is not None and b.divisor is None:
        b = _over(b, a.divisor, span)
    elif b.divisor is not None and a.divisor is None:
        a = _over(a, b.divisor, span)
    elif a.divisor != b.divisor:
        raise _two_divisors(span)
    return Amount(dim, a.constant + b.constant, _merged(a.terms + b.terms), a.divisor)


def multiply(left: Operand, right: Operand, span: Span) -> Amount:
    """Return ``left * right``; one side must be a plain number or a ratio."""
    a, b = left.amount, right.amount
    if not a.is_constant and not b.is_constant:
        raise _product(left, right, span)
    if a.dim not in SCALARS and b.dim not in SCALARS:
        message = f"{WORDS[a.dim]} times {WORDS[b.dim]} has no meaning here"
        help_ = "multiply by a plain number or a ratio: `2 * X`, `80% of X`"
        raise error("HQ216", message, span, help=help_)
    dim = _product_dimension(a.dim, b.dim)
    factor, other = (a.constant, b) if a.is_constant else (b.constant, a)
    return Amount(dim, factor * other.constant, _times(other.terms, factor), other.divisor)


def share_of(left: Operand, right: Operand, span: Span) -> Amount:
    """Return ``left of right``: ``80% of X`` has the dimension of ``X``."""
    if not left.amount.is_constant:
        raise _product(left, right, span)
    if left.amount.dim not in SCALARS:
        message = f"`of` takes a ratio on its left, `{left.text}` is {WORDS[left.amount.dim]}"
        raise error("HQ216", message, left.span, help="write `80% of X`")
    scaled = _scaled(right.amount, left.amount.constant)
    return Amount(right.amount.dim, scaled.constant, scaled.terms, scaled.divisor)


def divide(left: Operand, right: Operand, span: Span) -> Amount:
    """Return ``left / right``; the right side is a constant or a positive baseline."""
    a, b = left.amount, right.amount
    dim = _quotient_dimension(left, right, span)
    if b.is_constant:
        if b.constant == 0:
            raise error("HQ209", "division by zero", right.span)
        scaled = _scaled(a, 1 / b.constant)
        return Amount(dim, scaled.constant, scaled.terms, scaled.divisor)
    if not _is_positive_baseline(b) or a.divisor is not None:
        message = f"`{right.text}` cannot divide: it is no baseline, so the quotient is not linear"
        help_ = "divide by a baseline such as `size(fp32)`, or write `X <= 12.5% of Y`"
        raise error("HQ242", message, right.span, help=help_)
    if a.dim in SCALARS or a.dim != b.dim:
        message = f"{WORDS[a.dim]} divided by {WORDS[b.dim]} has no meaning here"
        raise error("HQ216", message, span, help="divide like by like: `size / size(fp32)`")
    return Amount(dim, a.constant, a.terms, divisor=b)


def sides(left: Operand, right: Operand, span: Span) -> tuple[spec.Linear, spec.Linear]:
    """Return both sides of a comparison, quotients by a baseline multiplied through."""
    dim = common_dimension(left, right, span)
    a, b = left.amount, right.amount
    if a.divisor is not None and b.divisor is None:
        b = _over(b, a.divisor, span)
    elif b.divisor is not None and a.divisor is None:
        a = _over(a, b.divisor, span)
    elif a.divisor != b.divisor:
        raise _two_divisors(span)
    return _linear(a, dim, span), _linear(b, dim, span)


def common_dimension(left: Operand, right: Operand, span: Span) -> Dim:
    """Return the dimension two operands share.

    Raises:
        RejectedError: HQ217 where a number lacks its unit, HQ216 where the dimensions differ.
    """
    a, b = left.amount.dim, right.amount.dim
    if a == b:
        return a
    if "share" in (a, b) and a in SCALARS and b in SCALARS:
        return b if a == "share" else a
    for bare, other in ((left, right), (right, left)):
        if bare.amount.dim == "number" and bare.amount.is_constant and other.amount.dim in OFFERED:
            raise missing_unit(bare.amount, bare.text, other.amount.dim, bare.span)
    message = f"`{left.text}` is {WORDS[a]}, `{right.text}` is {WORDS[b]}"
    raise error("HQ216", message, span, help="compare and add like with like")


def missing_unit(amount: Amount, text: str, dim: Dim, span: Span) -> RejectedError:
    """Return the error for a plain number where a quantity of ``dim`` belongs; it offers a unit."""
    units = OFFERED[dim]
    message = f"`{text}` has no unit, {WORDS[dim]} is wanted"
    return error("HQ217", message, span, help=_offer(amount, text, units))


def _offer(amount: Amount, text: str, units: tuple[str, ...]) -> str:
    if not text.replace("_", "").replace(".", "").isdigit():
        return f"give `{text}` a unit, for example `{units[0]}`"
    if units == ("%",):
        offered = [f"{text}%"]
        if 0 < amount.constant < 1:
            offered.insert(0, f"{float(amount.constant * 100):g}%")
    else:
        offered = [f"{text} {unit}" for unit in units]
    return "write " + " or ".join(f"`{offer}`" for offer in offered)


def _linear(amount: Amount, dim: Dim, span: Span) -> spec.Linear:
    """Return the numerator as a linear expression of the specification."""
    dimension = dim if amount.divisor is None else amount.divisor.dim
    match dimension:
        case "number" | "ratio" | "share":
            return spec.Linear(dimension="number", constant=amount.constant, terms=amount.terms)
        case "size/s" | "macs/s":
            message = f"{WORDS[dimension]} is no metric of a model"
            raise error("HQ216", message, span, help="rates stand in a `device` block")
        case "size" | "time" | "macs" | "bops":
            return spec.Linear(dimension=dimension, constant=amount.constant, terms=amount.terms)


def _over(amount: Amount, divisor: Amount, span: Span) -> Amount:
    """Return a constant brought over ``divisor``: ``c = (c · Y) / Y``."""
    if amount.terms:
        message = "a quotient of metrics stands beside a metric: together they are not linear"
        help_ = "multiply by the baseline: `X <= 12.5% of Y`"
        raise error("HQ242", message, span, help=help_)
    numerator = _scaled(divisor, amount.constant)
    return Amount(amount.dim, numerator.constant, numerator.terms, divisor)


def _scaled(a: Amount, factor: Fraction) -> Amount:
    return Amount(a.dim, a.constant * factor, _times(a.terms, factor), a.divisor)


def _times(terms: tuple[spec.Term, ...], factor: Fraction) -> tuple[spec.Term, ...]:
    if factor == 0:
        return ()
    return tuple(term.replace(coefficient=term.coefficient * factor) for term in terms)


def _merged(terms: tuple[spec.Term, ...]) -> tuple[spec.Term, ...]:
    """Return the terms with equal metrics added up, in order of first appearance."""
    totals: dict[spec.MetricTerm | spec.CountTerm, Fraction] = {}
    for term in terms:
        totals[term.of] = totals.get(term.of, Fraction(0)) + term.coefficient
    return tuple(spec.Term(coefficient=c, of=of) for of, c in totals.items() if c != 0)


def _product_dimension(a: Dim, b: Dim) -> Dim:
    if a in SCALARS and b in SCALARS:
        return a if a == b else "share"
    return b if a in SCALARS else a


def _quotient_dimension(left: Operand, right: Operand, span: Span) -> Dim:
    a, b = left.amount.dim, right.amount.dim
    if b == "number":
        return a
    if a == b:
        return "share"
    if a in SCALARS and b in SCALARS:
        return "share"
    if b in SCALARS:
        return a
    message = f"{WORDS[a]} divided by {WORDS[b]} has no meaning here"
    raise error("HQ216", message, span, help="divide by a plain number, or like by like")


def _is_positive_baseline(amount: Amount) -> bool:
    """Return whether it is a positive sum of baselines, so that multiplying by it keeps ``<=``."""
    return (
        amount.divisor is None
        and amount.constant >= 0
        and all(
            isinstance(term.of, spec.MetricTerm) and term.of.at is not None and term.coefficient > 0
            for term in amount.terms
        )
    )


def _product(left: Operand, right: Operand, span: Span) -> RejectedError:
    message = f"`{left.text}` times `{right.text}` is a product of metrics, which is not linear"
    help_ = "only a constant may multiply a metric: `2 * size`, `80% of latency(w8a8)`"
    return error("HQ241", message, span, help=help_)


def _two_divisors(span: Span) -> RejectedError:
    message = "quotients by two different baselines stand in one comparison"
    help_ = "divide by one baseline, or write `X <= 12.5% of Y`"
    return error("HQ242", message, span, help=help_)
