"""Layouts, tiles and packed constants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawqlang.arith import dyadic
from hawqlang.arith.width import INT32_MAX
from hawqlang.certificate import certificate
from hawqlang.diagnostics import HawqError
from hawqlang_codegen.tvm.blob import BlobBuilder, checksum
from hawqlang_codegen.tvm.packing import (
    dense_weights,
    depthwise_weights,
    group_windows,
    nibbles,
    planes,
    rescale,
)
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.sharing import choose_layouts
from tests.semantics.programs import Builder


def test_a_halo_is_as_wide_as_the_padded_reader_needs() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.image(8, 9, 3), 16)
    b.conv(x, 16, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    b.conv(x, 16, (5, 1), padding=(2, 0, 2, 0))
    layout = choose_layouts(b.program(x)).of[x]
    assert (layout.top, layout.left, layout.bottom, layout.right) == (2, 1, 2, 1)
    assert layout.pixel == 16


def test_an_even_map_under_stride_two_needs_no_halo_behind() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.image(8, 8, 3), 16)
    b.conv(x, 16, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    layout = choose_layouts(b.program(x)).of[x]
    assert (layout.top, layout.left, layout.bottom, layout.right) == (1, 1, 0, 0)


def test_a_flattened_map_that_linear_layers_read_stays_where_it_is() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.image(4, 4, 3), 20)
    flat = b.flatten(x)
    y = b.linear(flat, 8)
    layouts = choose_layouts(b.program(y))
    assert layouts.buffer[flat] == x
    assert layouts.of[flat] == layouts.of[x]


def test_a_signed_tensor_is_stored_shifted_up() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.conv(b.image(4, 4, 3), 16, signed=True, bits=(5,))
    layout = choose_layouts(b.program(x)).of[x]
    assert layout.bias == 16
    assert layout.zero == b.tensors[x].zero_point + 16


def test_a_tensor_beyond_32_bit_indices_is_refused() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.affine(b.image(30000, 30000, 3))
    with pytest.raises(HawqError, match="HQ701"):
        plan_program(b.program(x), b.store)


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(1, 62))
def test_rescaling_keeps_every_result(value: int, multiplier: int, shift: int) -> None:
    scale = rescale(np.array([multiplier]), np.array([shift]), 1)
    expected = dyadic.apply_exact(value, multiplier, shift)
    assert dyadic.apply_exact(value, int(scale.multiplier[0]), int(scale.shift[0])) == expected
    assert abs(int(scale.multiplier[0])) < 2**31


def test_dense_weights_stand_four_input_channels_together() -> None:
    w = np.random.default_rng(0).integers(-127, 128, (40, 3, 2, 6)).astype(np.int8)
    packed = dense_weights(w, 2)
    assert packed.shape == (2, 3, 2, 2, 2, 16, 4)
    for oc, ky, kx, ic in ((0, 0, 0, 0), (17, 2, 1, 5), (39, 1, 0, 3)):
        at = (oc // 32, ky, kx, ic // 4, oc // 16 % 2, oc % 16, ic % 4)
        assert packed[at] == w[oc, ky, kx, ic]
    assert not packed[1, :, :, :, 0, 8:].any()


def test_nibbles_hold_two_words_a_byte() -> None:
    w = np.random.default_rng(0).integers(-7, 8, (16, 1, 1, 20)).astype(np.int8)
    dense = dense_weights(w, 1)
    half = nibbles(dense)
    assert half.size == dense.size * 6 // 10
    low = (half << 4).view(np.int8) >> 4
    high = half.view(np.int8) >> 4
    np.testing.assert_array_equal(low, dense[:, :, :, 0::2])
    np.testing.assert_array_equal(high[:, :, :, :2], dense[:, :, :, 1::2])
    assert not high[:, :, :, 2].any()


@pytest.mark.parametrize(("most", "count"), [(127, 1), (255, 3)])
def test_depthwise_weights_are_in_the_order_of_interleaved_columns(most: int, count: int) -> None:
    w = np.random.default_rng(0).integers(-most, most + 1, (40, 5, 3, 1)).astype(np.int16)
    w[21, 4, 2] = most
    assert planes(w) == count
    packed = depthwise_weights(w, 16, 48, count)
    assert packed.shape == (3, 2, 3, count, 4, 1, 4, 4)
    for c, ky, kx in ((0, 0, 0), (21, 4, 2), (39, 3, 1)):
        parts = packed[c // 16, ky // 4, kx, :, c % 16 // 4, 0, c % 4, ky % 4]
        assert parts.astype(int).sum() == w[c, ky, kx, 0]


@pytest.mark.parametrize(("channels", "groups"), [(9, 3), (40, 4), (64, 2), (35, 5)])
def test_group_windows_compute_the_grouped_convolution(channels: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    depth = 6
    w = rng.integers(-127, 128, (channels, 1, 1, depth)).astype(np.int8)
    pixel = 48
    x = np.zeros(pixel, dtype=np.int64)
    x[: depth * groups] = rng.integers(0, 256, depth * groups)
    x[depth * groups :] = 99
    windows = group_windows(w, groups, 16, pixel)
    for oc in range(channels):
        start = int(windows.start[oc // 16]) * 4
        assert start + windows.words * 4 <= pixel
        got = (x[start : start + windows.words * 4] * windows.weights[oc, 0, 0]).sum()
        first = oc // (channels // groups) * depth
        assert got == (x[first : first + depth] * w[oc, 0, 0]).sum()


def test_equal_constants_stand_in_the_blob_once() -> None:
    builder = BlobBuilder()
    first = builder.add(np.arange(5, dtype=np.int32))
    second = builder.add(np.arange(9, dtype=np.int64))
    assert builder.add(np.arange(5, dtype=np.int32)) == first
    assert (first, second) == (0, 64)
    assert len(builder.finish().data) % 64 == 0


@given(st.integers(0, 7), st.integers(1, 2**64 - 1))
def test_the_checksum_sees_every_change_of_a_word(index: int, change: int) -> None:
    words = np.arange(8, dtype=np.uint64)
    changed = words.copy()
    changed[index] ^= np.uint64(change)
    assert checksum(words.view(np.uint8)) != checksum(changed.view(np.uint8))


def test_a_sum_that_fits_only_when_finished_is_refused() -> None:
    """Codes of a signed tensor reach 255 in the kernel where the program's values reach 128."""
    b = Builder(np.random.default_rng(0))
    x = b.affine(b.image(1, 1, 200_000), signed=True)
    y = b.linear(b.flatten(x), 1)
    program = b.program(y)
    bounds = {bound.op: bound.largest for bound in certificate(program, b.store)}
    assert bounds[program.ops[-1].name] <= INT32_MAX
    with pytest.raises(HawqError, match="HQ702"):
        plan_program(program, b.store)
