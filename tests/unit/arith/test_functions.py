"""Functions in postfix: exact where rational, else right to the last of many digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
import torch

from hawqlang.arith import functions
from hawqlang.arith.functions import Function, composed, is_nonnegative, problem, value
from hawqlang.stages.float_ops import applied

ALL: dict[str, Function] = {
    "sigmoid": functions.SIGMOID,
    "tanh": functions.TANH,
    "erf": functions.ERF,
    "exp": functions.EXP,
    "abs": functions.ABS,
    "softplus": functions.SOFTPLUS,
    "softsign": functions.SOFTSIGN,
    "silu": functions.SILU,
    "mish": functions.MISH,
    "leaky": functions.leaky_relu(0.1),
    "elu": functions.elu(0.5),
    "hard_sigmoid": functions.hard_sigmoid(0.2, 0.5),
    "hard_swish": functions.hard_swish(),
    "gelu": functions.gelu(tanh=False),
    "gelu_tanh": functions.gelu(tanh=True),
    "clamp": functions.clamp(-1.0, 2.0),
    "scaled": functions.scaled(-3.0, 0.25),
}


@pytest.mark.parametrize("name", sorted(ALL))
def test_exact_values_are_those_of_torch(name: str) -> None:
    points = torch.linspace(-9, 9, 73, dtype=torch.float64)
    expected = applied(ALL[name], points.reshape(1, -1)).reshape(-1)
    found = [float(value(ALL[name], Fraction(float(x)))) for x in points]
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64), expected, atol=1e-14, rtol=1e-13
    )


@pytest.mark.parametrize(
    ("function", "libm"),
    [(functions.ERF, math.erf), (functions.TANH, math.tanh), (functions.EXP, math.exp)],
)
def test_exact_values_are_those_of_libm(function: Function, libm: Callable[[float], float]) -> None:
    for i in range(-60, 61):
        x = i / 8 + 0.01
        assert float(value(function, Fraction(x))) == pytest.approx(libm(x), rel=1e-15, abs=1e-16)


def test_erf_has_all_its_digits() -> None:
    """Against published digits of erf(1) and erf(5)."""
    known = {
        1: "0.84270079294971486934122063508260925929606699796630",
        5: "0.99999999999846254020557196514981165651461662110988",
    }
    for x, digits in known.items():
        error = abs(value(functions.ERF, Fraction(x)) - Fraction(digits))
        assert error < Fraction(1, 10**49)


def test_the_sigmoid_has_all_its_digits() -> None:
    """Against twice the digits."""
    with localcontext() as context:
        context.prec = 120
        for x in (Fraction(-37, 3), Fraction(1, 7), Fraction(19)):
            wide = 1 / (1 + (-Decimal(x.numerator) / Decimal(x.denominator)).exp())
            error = abs(value(functions.SIGMOID, x) - Fraction(wide))
            assert error < Fraction(1, 10**57) * value(functions.SIGMOID, x)


def test_far_arguments_saturate_and_stay_finite() -> None:
    far = Fraction(10**6)
    assert 1 - value(functions.SIGMOID, far) < Fraction(1, 10**80)
    assert value(functions.TANH, -far) + 1 < Fraction(1, 10**80)
    assert value(functions.ERF, far) == 1
    assert abs(value(functions.SOFTPLUS, far) - far) < Fraction(1, 10**80)
    assert value(functions.EXP, far) > 2**31


def test_rational_functions_are_exact() -> None:
    assert value(functions.hard_swish(), Fraction(1)) == Fraction(2, 3)
    assert value(functions.SOFTSIGN, Fraction(-1, 3)) == Fraction(-1, 4)
    assert value(functions.PRELU, Fraction(-3), Fraction(1, 7)) == Fraction(-3, 7)


def test_a_parameter_must_be_given() -> None:
    with pytest.raises(ValueError, match="has a parameter"):
        value(functions.PRELU, Fraction(1))


def test_composition_puts_one_function_into_the_other() -> None:
    both = composed(functions.SILU, functions.scaled(2.0, 1.0))
    assert value(both, Fraction(3)) == value(functions.SILU, Fraction(7))


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_is_called_nonnegative_is_so(name: str) -> None:
    for x_known in (False, True):
        if is_nonnegative(ALL[name], x=x_known):
            points = [Fraction(i, 4) for i in range(0 if x_known else -60, 60)]
            assert min(value(ALL[name], x) for x in points) >= 0


def test_signs_of_common_functions_are_seen() -> None:
    known = {n for n, f in ALL.items() if is_nonnegative(f, x=False)}
    assert known == {"sigmoid", "exp", "abs", "softplus", "hard_sigmoid"}


@pytest.mark.parametrize("words", [(), ("x", "x"), ("add",), ("x", "add"), ("x", "sine")])
def test_words_that_are_no_function(words: Function) -> None:
    assert problem(words) is not None
    assert all(problem(function) is None for function in ALL.values())
