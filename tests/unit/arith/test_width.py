"""Ranges and accumulator bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hawqlang.arith import width


def test_the_bound_is_reached_by_the_worst_input_and_never_passed() -> None:
    weights = np.array([[3, -2], [-7, 7], [0, 1]])
    bias = np.array([5, -4, 0])
    bound = width.accumulator_bound(weights, 2, signed=True, bias=bias)
    inputs = list(itertools.product(range(-2, 2), repeat=2))
    for channel in range(3):
        sums = [abs(int(weights[channel] @ x)) + abs(int(bias[channel])) for x in inputs]
        assert max(sums) <= bound[channel]
    assert bound.tolist() == [5 * 2 + 5, 14 * 2 + 4, 2]


def test_partial_sums_count_in_any_order() -> None:
    cancelling = np.array([[7, -7]])
    assert width.accumulator_bound(cancelling, 4, signed=False).tolist() == [14 * 15]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (2**15 - 1, "int16"),
        (2**15, "int24"),
        (2**23, "int32"),
        (2**31 - 1, "int32"),
        (2**31, None),
    ],
)
def test_the_smallest_accumulator_is_chosen(bound: int, expected: str | None) -> None:
    assert width.smallest_accumulator(bound) == expected


@pytest.mark.parametrize(
    ("bits", "signed", "expected"),
    [(8, False, (0, 255)), (8, True, (-128, 127)), (1, False, (0, 1)), (1, True, (-1, 0))],
)
def test_type_ranges(bits: int, signed: bool, expected: tuple[int, int]) -> None:
    assert width.type_range(bits, signed=signed) == expected


def test_weights_are_symmetric_and_one_bit_has_no_zero() -> None:
    assert [width.weight_range(b) for b in (1, 2, 4, 8)] == [(-1, 1), (-1, 1), (-7, 7), (-127, 127)]
