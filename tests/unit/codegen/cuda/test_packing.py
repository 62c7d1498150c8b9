"""Weights in the order in which kernels read them, and tensors in the form in which they are stored."""

from __future__ import annotations

import numpy as np

from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.packing import bytes_of, direct_of, nibbles_of, rows_of, widened_of
from hawqlang_codegen.cuda.plan import plan_program
from tests.unit.codegen.cuda.test_kernels import products

rng = np.random.default_rng(0)
WEIGHTS = rng.integers(-7, 8, (5, 3, 2, 19)).astype(np.int8)


def unpacked(low_first: np.ndarray, signed_shift: int) -> np.ndarray:
    """The nibble of every byte at a bit, sign-extended."""
    codes = (low_first >> signed_shift) & 15
    return ((codes.astype(np.int16) ^ 8) - 8).astype(np.int8)


def test_rows_are_taps_of_padded_pixels() -> None:
    rows = rows_of(WEIGHTS, 32).reshape(5, 6, 32)
    np.testing.assert_array_equal(rows[:, :, :19], WEIGHTS.reshape(5, 6, 19))
    assert not rows[:, :, 19:].any()
    assert bytes_of(rows_of(WEIGHTS, 32)).shape == (5, 192)
    assert bytes_of(rows_of(WEIGHTS, 4 * 5)).shape == (5, 128)


def test_nibbles_pair_neighbours() -> None:
    rows = rows_of(WEIGHTS, 32)
    packed = nibbles_of(rows)
    assert packed.shape == (5, 128)
    np.testing.assert_array_equal(unpacked(packed, 0)[:, :96], rows[:, 0::2])
    np.testing.assert_array_equal(unpacked(packed, 4)[:, :96], rows[:, 1::2])


def test_widened_nibbles_pair_the_halves_of_32() -> None:
    rows = rows_of(WEIGHTS, 32)
    packed = widened_of(rows).reshape(5, -1, 16)
    halves = rows.reshape(5, -1, 2, 16)
    np.testing.assert_array_equal(unpacked(packed, 0), halves[:, :, 0])
    np.testing.assert_array_equal(unpacked(packed, 4), halves[:, :, 1])


def test_direct_weights_are_vectors_of_output_channels() -> None:
    packed = direct_of(WEIGHTS)
    assert packed.dtype == np.int8
    assert packed.shape == (6, 19, 16)
    np.testing.assert_array_equal(packed[:, :, :5], WEIGHTS.reshape(5, 6, 19).transpose(1, 2, 0))
    assert direct_of(WEIGHTS.astype(np.int32) * 100).dtype == np.int32


def test_four_bit_tensors_are_packed_where_their_readers_have_four_bit_weights() -> None:
    program, store = products(5)
    layouts = plan_program(program, store, (ARCHES["sm_80"],), 1).layouts
    packed = {name for name, layout in layouts.of.items() if layout.nibbles}
    readers = {getattr(op, "x", ""): getattr(op, "weight_bits", 8) for op in program.ops}
    four = {tensor.name for tensor in program.tensors if tensor.bits == 4}
    assert packed == {name for name in four if readers[name] <= 4}
    assert packed < four
    for name in packed:
        assert layouts.of[name].pixel % 32 == 0
