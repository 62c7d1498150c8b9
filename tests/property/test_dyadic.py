"""Dyadic numbers: how near they come, and that the array rule is the rule on unbounded integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawqlang.arith import dyadic

ratios = st.one_of(
    st.floats(min_value=1e-300, max_value=2.0**29, allow_nan=False),
    st.fractions(min_value=Fraction(1, 2**80), max_value=2**29),
).filter(lambda r: r > 0)
accumulators = st.integers(-(2**31) + 1, 2**31 - 1)


@given(ratios)
def test_a_multiplier_has_31_bits_and_misses_the_ratio_by_at_most_half_a_unit(
    ratio: Fraction | float,
) -> None:
    chosen = dyadic.choose(ratio)
    assert 1 <= chosen.shift <= 62
    assert 0 <= chosen.multiplier < 2**31
    assert abs(chosen.value - Fraction(ratio)) <= chosen.error
    if Fraction(ratio) >= Fraction(1, 2**32):
        assert chosen.multiplier >= 2**30
        assert abs(chosen.value - Fraction(ratio)) <= Fraction(ratio) / 2**31


@given(st.floats(min_value=1e-12, max_value=2.0**19))
def test_an_operand_multiplier_fits_one_32_bit_multiply(ratio: float) -> None:
    chosen = dyadic.choose_operand(ratio)
    assert 1 <= chosen.shift <= 30
    assert 0 <= chosen.multiplier < 2**22
    assert 255 * chosen.multiplier + 2 ** (chosen.shift - 1) < 2**31
    assert abs(chosen.value - Fraction(ratio)) <= chosen.error


@given(st.lists(accumulators, min_size=1), ratios)
def test_apply_on_arrays_is_the_rule_on_unbounded_integers(
    values: list[int], ratio: Fraction | float
) -> None:
    chosen = dyadic.choose(ratio)
    got = dyadic.apply(np.array(values, np.int64), chosen.multiplier, chosen.shift)
    expected = [dyadic.apply_exact(v, chosen.multiplier, chosen.shift) for v in values]
    assert got.tolist() == expected


@given(accumulators, ratios)
def test_the_result_is_within_half_a_unit_and_the_multipliers_error(
    value: int, ratio: Fraction | float
) -> None:
    chosen = dyadic.choose(ratio)
    got = dyadic.apply_exact(value, chosen.multiplier, chosen.shift)
    assert abs(got - value * Fraction(ratio)) <= Fraction(1, 2) + abs(value) * chosen.error


@given(accumulators, accumulators, ratios)
def test_the_rule_is_monotone_so_that_the_ends_bound_it(
    one: int, other: int, ratio: Fraction | float
) -> None:
    chosen = dyadic.choose(ratio)
    bound = max(abs(one), abs(other))
    limit = dyadic.result_bound(bound, chosen.multiplier, chosen.shift)
    low, high = (
        dyadic.apply_exact(v, chosen.multiplier, chosen.shift) for v in sorted((one, other))
    )
    assert low <= high
    assert max(abs(low), abs(high)) <= limit


def test_ties_go_up() -> None:
    halves = np.array([-5, -3, -1, 1, 3, 5])
    assert dyadic.apply(halves, 1, 1).tolist() == [-2, -1, 0, 1, 2, 3]


def test_a_multiplier_that_rounds_to_two_to_the_31_is_halved() -> None:
    just_below_one = Fraction(2**40 - 1, 2**40)
    assert dyadic.choose(just_below_one) == dyadic.Dyadic(2**30, 30)


def test_tiny_ratios_keep_the_largest_shift() -> None:
    assert dyadic.choose(Fraction(3, 2**62)) == dyadic.Dyadic(3, 62)
    assert dyadic.choose(Fraction(1, 2**70)) == dyadic.Dyadic(0, 62)
    assert dyadic.choose(0) == dyadic.Dyadic(0, 62)


def test_a_negative_ratio_mirrors_the_positive_one() -> None:
    up, down = dyadic.choose(Fraction(1, 3)), dyadic.choose(Fraction(-1, 3))
    assert (down.multiplier, down.shift) == (-up.multiplier, up.shift)


@pytest.mark.parametrize("ratio", [2**30, Fraction(2**31 - 1, 2) + Fraction(2, 5)])
def test_a_ratio_without_room_for_rounding_is_refused(ratio: Fraction | int) -> None:
    with pytest.raises(dyadic.RatioTooLargeError):
        dyadic.choose(Fraction(ratio))
