"""Sub-byte layouts: packing loses nothing, and the layout is the documented bit stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawqlang.arith import pack, width


@given(st.data(), st.integers(1, 16), st.booleans())
def test_unpack_inverts_pack(data: st.DataObject, bits: int, signed: bool) -> None:
    low, high = width.type_range(bits, signed=signed)
    values = np.array(data.draw(st.lists(st.integers(low, high), max_size=70)), np.int64)
    packed = pack.pack(values, bits, signed=signed)
    assert packed.dtype == np.uint8
    assert packed.shape == (pack.packed_size(values.size, bits),)
    back = pack.unpack(packed, bits, values.shape, signed=signed)
    assert back.dtype == width.storage_dtype(bits, signed=signed)
    np.testing.assert_array_equal(back, values)


@given(st.data(), st.integers(1, 16))
def test_unpack_inverts_pack_for_weights(data: st.DataObject, bits: int) -> None:
    low, high = width.weight_range(bits)
    levels = st.sampled_from((-1, 1)) if bits == 1 else st.integers(low, high)
    values = np.array(data.draw(st.lists(levels, min_size=6, max_size=6)), np.int64).reshape(2, 3)
    back = pack.unpack_weights(pack.pack_weights(values, bits), bits, (2, 3))
    assert back.dtype == (np.int8 if bits <= 8 else np.int16)
    np.testing.assert_array_equal(back, values)


@given(st.data(), st.integers(1, 16))
def test_the_layout_is_one_bit_stream_least_significant_first(
    data: st.DataObject, bits: int
) -> None:
    codes = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=20))
    stream = sum(code << (i * bits) for i, code in enumerate(codes))
    size = pack.packed_size(len(codes), bits)
    packed = pack.pack_codes(np.array(codes, np.uint8), bits)
    assert packed.tobytes() == stream.to_bytes(size, "little")


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pack.pack(np.array([16]), 4, signed=False)
    with pytest.raises(ValueError, match="do not fit"):
        pack.pack_weights(np.array([-8]), 4)
    with pytest.raises(ValueError, match="-1 or"):
        pack.pack_weights(np.array([0]), 1)
