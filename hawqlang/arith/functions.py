"""Functions of one real number, written in postfix: exact in rational arithmetic, and of known sign.

A function is a sequence of words that a stack evaluates: numbers, ``x`` the argument, ``p`` a parameter of the
channel, and the operators below. SiLU is ``("x", "x", "sigmoid", "mul")``.

Sums, products, quotients and comparisons are exact (:class:`fractions.Fraction`). What has no rational value is
computed by :mod:`decimal`, whose ``exp`` and ``ln`` are correctly rounded by definition, with ``DIGITS`` significant
digits: the same on every machine, without its math library. An entry of a table is such a value divided by a scale and
rounded to an integer, so that an error of 1e-50 could matter only within 1e-40 of a tie. Rational functions meet ties
exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

Function = tuple[str | float, ...]
"""Words in postfix."""

DIGITS = 60
"""Significant digits of what is not rational."""
SERIES_DIGITS = 170
"""Digits of the series of erf: its terms reach e^(x²), 63 digits above a sum of 1."""
SATURATED = 200
"""Arguments beyond this change no digit of a sigmoid, tanh or softplus; ``exp`` of it exceeds every int32."""
ERF_SATURATED = 12
"""``1 − erf(12)`` is below 1e-63."""
LONGEST = 96
"""Words of the longest function that is composed."""

_CONTEXT = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)
_SERIES = Context(prec=SERIES_DIGITS, rounding=ROUND_HALF_EVEN)
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
)


def _exp(x: Fraction) -> Fraction:
    bounded = min(max(x, Fraction(-SATURATED)), Fraction(SATURATED))
    return Fraction(_CONTEXT.exp(_decimal(bounded)))


def _decimal(x: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(x.numerator), Decimal(x.denominator))


def _sigmoid(x: Fraction) -> Fraction:
    return 1 / (1 + _exp(-x))


def _tanh(x: Fraction) -> Fraction:
    return 2 * _sigmoid(2 * x) - 1


def _softplus(x: Fraction) -> Fraction:
    tail = _exp(-abs(x))
    return max(x, Fraction(0)) + Fraction(_CONTEXT.ln(_decimal(1 + tail)))


def _erf(x: Fraction) -> Fraction:
    """Return ``2/√π · Σ (−1)^n x^(2n+1) / (n!·(2n+1))``."""
    if abs(x) >= ERF_SATURATED:
        return Fraction(1 if x > 0 else -1)
    c = _SERIES
    argument = c.divide(Decimal(x.numerator), Decimal(x.denominator))
    square = c.multiply(argument, argument)
    power, total, n = argument, argument, 0
    while power and power.adjusted() > -DIGITS - 20:
        n += 1
        power = c.divide(c.multiply(power, -square), Decimal(n))
        total = c.add(total, c.divide(power, Decimal(2 * n + 1)))
    scale = c.divide(Decimal(2), c.sqrt(_PI))
    return Fraction(_CONTEXT.plus(c.multiply(total, scale)))


UNARY: Mapping[str, Callable[[Fraction], Fraction]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "exp": _exp,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "softplus": _softplus,
    "erf": _erf,
}
"""Operators of one operand."""

BINARY: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "max": max,
    "min": min,
}
"""Operators of two operands, the first pushed first."""


def problem(function: Function) -> str | None:
    """Return, in words, what makes a sequence of words no function; ``None`` where it is one."""
    depth = 0
    for word in function:
        if not isinstance(word, str) or word in ("x", "p"):
            depth += 1
        elif word in BINARY and depth >= 2:
            depth -= 1
        elif word not in UNARY or depth < 1:
            return f"'{word}' is no operator, or lacks an operand"
    return None if depth == 1 else f"{depth} values are left instead of one"


def value(function: Function, x: Fraction, p: Fraction | None = None) -> Fraction:
    """Return ``f(x)``, exact up to the digits of :mod:`decimal`.

    Args:
        function: In postfix.
        x: The argument.
        p: The channel's parameter, where the function has one.

    Raises:
        ValueError: it reads ``p``, and there is none.
    """
    stack: list[Fraction] = []
    for word in function:
        if not isinstance(word, str):
            stack.append(Fraction(word))
        elif word == "x":
            stack.append(x)
        elif word == "p":
            if p is None:
                raise ValueError("the function has a parameter, and none was given")
            stack.append(p)
        elif word in UNARY:
            stack.append(UNARY[word](stack.pop()))
        else:
            b, a = stack.pop(), stack.pop()
            stack.append(BINARY[word](a, b))
    (result,) = stack
    return result


def composed(outer: Function, inner: Function) -> Function:
    """Return ``outer(inner(x))``; only one of them may have a parameter."""
    return tuple(t for word in outer for t in (inner if word == "x" else (word,)))


def is_nonnegative(function: Function, *, x: bool) -> bool:
    """Return whether a function can be seen to be nowhere negative, its argument's sign known to be so or not."""
    stack: list[bool] = []
    for word in function:
        if not isinstance(word, str):
            stack.append(word >= 0)
        elif word in ("x", "p"):
            stack.append(x and word == "x")
        elif word in UNARY:
            known = stack.pop()
            always = word in ("abs", "exp", "sigmoid", "softplus")
            stack.append(always or (known and word in ("tanh", "erf")))
        else:
            b, a = stack.pop(), stack.pop()
            stack.append(a or b if word == "max" else a and b and word != "sub")
    return stack == [True]


# ---- the usual ones -------------------------------------------------------------------------------------------------

RELU: Function = ("x", 0.0, "max")
SIGMOID: Function = ("x", "sigmoid")
TANH: Function = ("x", "tanh")
ERF: Function = ("x", "erf")
EXP: Function = ("x", "exp")
ABS: Function = ("x", "abs")
SOFTPLUS: Function = ("x", "softplus")
SOFTSIGN: Function = ("x", 1.0, "x", "abs", "add", "div")
SILU: Function = ("x", "x", "sigmoid", "mul")
MISH: Function = ("x", "x", "softplus", "tanh", "mul")
PRELU: Function = ("x", 0.0, "max", "p", "x", 0.0, "min", "mul", "add")


def leaky_relu(slope: float) -> Function:
    """Return ``max(x, 0) + slope · min(x, 0)``."""
    return ("x", 0.0, "max", slope, "x", 0.0, "min", "mul", "add")


def elu(alpha: float, gamma: float = 1.0, inner: float = 1.0) -> Function:
    """Return ``gamma · (max(x, 0) + alpha · (exp(min(x, 0) / inner) − 1))``: ELU, SELU and CELU."""
    below: Function = ("x", 0.0, "min", inner, "div", "exp", 1.0, "sub", alpha, "mul")
    return ("x", 0.0, "max", *below, "add", gamma, "mul")


def hard_sigmoid(alpha: float, beta: float) -> Function:
    """Return ``min(max(alpha · x + beta, 0), 1)``."""
    return ("x", alpha, "mul", beta, "add", 0.0, "max", 1.0, "min")


def hard_swish() -> Function:
    """Return ``x · min(max(x + 3, 0), 6) / 6``."""
    return ("x", "x", 3.0, "add", 0.0, "max", 6.0, "min", "mul", 6.0, "div")


def gelu(*, tanh: bool) -> Function:
    """Return ``x · Φ(x)``, or its usual approximation by tanh."""
    if not tanh:
        return ("x", "x", 2.0**-0.5, "mul", "erf", 1.0, "add", "mul", 0.5, "mul")
    cube: Function = ("x", "x", "x", "x", "mul", "mul", 0.044715, "mul", "add")
    return ("x", *cube, 0.7978845608028654, "mul", "tanh", 1.0, "add", "mul", 0.5, "mul")


def clamp(low: float | None, high: float | None) -> Function:
    """Return ``min(max(x, low), high)``, a side open where there is no bound."""
    found: Function = ("x",)
    found = found if low is None else (*found, low, "max")
    return found if high is None else (*found, high, "min")


def scaled(slope: float, offset: float) -> Function:
    """Return ``slope · x + offset``."""
    return ("x", slope, "mul", offset, "add")
