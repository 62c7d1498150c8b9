"""Sub-byte layouts and their inverses.

Values of ``bits`` bits stand in C order in one dense bit stream, least significant bit first: element ``i`` occupies
bits ``[i·bits, (i+1)·bits)`` of the stream, bit ``j`` of the stream is bit ``j mod 8`` of byte ``j div 8``, and the
last byte is filled with zeros. Signed values are two's complement. One-bit weights have no zero: the bit says ``+1``
or ``−1``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]
Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Signed = npt.NDArray[np.int8] | npt.NDArray[np.int16]


def packed_size(count: int, bits: int) -> int:
    """Return the bytes that ``count`` values of ``bits`` bits take."""
    return (count * bits + 7) // 8


def pack_codes(codes: IntArray, bits: int) -> Bytes:
    """Return the bit stream (uint8 ``[n]``) of the low ``bits`` bits of every value, at most 16."""
    flat = codes.reshape(-1).astype("<u1" if bits <= 8 else "<u2")
    if bits == 8:
        return flat
    octets = flat.view(np.uint8).reshape(flat.size, flat.itemsize)
    fields = np.unpackbits(octets, axis=1, count=bits, bitorder="little")
    return np.packbits(fields, bitorder="little")


def unpack_codes(packed: Bytes, bits: int, count: int) -> Codes:
    """Return the ``count`` fields of a bit stream as unsigned codes (``[count]``, uint16 beyond 8 bits)."""
    if bits == 8:
        return packed[:count].copy()
    fields = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    octets = np.packbits(fields, axis=1, bitorder="little")
    return octets.reshape(count) if bits < 8 else octets.view("<u2").reshape(count)


def pack(values: IntArray, bits: int, *, signed: bool) -> Bytes:
    """Return activations packed at ``bits``; they must be in the range of the type.

    Raises:
        ValueError: a value is out of range.
    """
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    _check_range(values, low, high)
    return pack_codes(values, bits)


def unpack(packed: Bytes, bits: int, shape: tuple[int, ...], *, signed: bool) -> IntArray:
    """Return the inverse of ``pack``: int8 or int16 where signed, else uint8 or uint16."""
    codes = unpack_codes(packed, bits, int(np.prod(shape, dtype=np.int64))).reshape(shape)
    return _sign_extend(codes, bits) if signed else codes


def pack_weights(values: IntArray, bits: int) -> Bytes:
    """Return symmetric weights packed at ``bits``: ``[−(2^(b−1)−1), 2^(b−1)−1]``, or ``{−1, +1}`` for one bit.

    Raises:
        ValueError: a value is out of range, or 0 for one bit.
    """
    if bits > 1:
        largest = (1 << (bits - 1)) - 1
        _check_range(values, -largest, largest)
        return pack_codes(values, bits)
    if not np.all(np.abs(values) == 1):
        raise ValueError("one-bit weights are -1 or +1")
    return pack_codes((values > 0).astype(np.uint8), 1)


def unpack_weights(packed: Bytes, bits: int, shape: tuple[int, ...]) -> Signed:
    """Return the inverse of ``pack_weights``, int8 or int16 of the given shape; affine codes likewise."""
    codes = unpack_codes(packed, bits, int(np.prod(shape, dtype=np.int64))).reshape(shape)
    if bits == 1:
        return np.where(codes == 1, 1, -1).astype(np.int8)
    return _sign_extend(codes, bits)


def _sign_extend(codes: Codes, bits: int) -> Signed:
    if codes.dtype == np.uint16:
        return (codes << (16 - bits)).astype(np.uint16).view(np.int16) >> (16 - bits)
    return (codes << (8 - bits)).astype(np.uint8).view(np.int8) >> (8 - bits)


def _check_range(values: IntArray, low: int, high: int) -> None:
    if values.size and (int(values.min()) < low or int(values.max()) > high):
        raise ValueError(f"values {values.min()}..{values.max()} do not fit [{low}, {high}]")
