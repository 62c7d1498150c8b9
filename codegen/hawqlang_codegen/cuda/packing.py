"""Weights as tensor cores and the direct kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang_codegen.cuda.layout import VECTOR
from hawqlang_codegen.cuda.select import STEP_BYTES
from hawqlang_codegen.tvm.layout import round_up

IntArray = npt.NDArray[np.integer[Any]]
Int8 = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]


def rows_of(weights: IntArray, pixel: int) -> Int8:
    """Return int8 ``[OC][tap · pixel]`` of ``(OC, KH, KW, IC)``: padded with zeros to what is read of a pixel."""
    channels, tall, wide, depth = weights.shape
    full = np.zeros((channels, tall * wide, pixel), np.int8)
    full[:, :, :depth] = weights.reshape(channels, tall * wide, depth)
    return full.reshape(channels, -1)


def bytes_of(rows: Int8) -> Bytes:
    """Return rows padded to whole steps."""
    return _padded(rows, STEP_BYTES).view(np.uint8)


def nibbles_of(rows: Int8) -> Bytes:
    """Return rows of nibbles as activations have them: element 2i is the low half of byte i."""
    codes = _padded(rows, 2 * STEP_BYTES).view(np.uint8)
    return _joined(codes[:, 0::2], codes[:, 1::2])


def widened_of(rows: Int8) -> Bytes:
    """Return rows of nibbles that meet bytes: of 32 elements the first 16 in the low halves, the others in the high."""
    codes = _padded(rows, STEP_BYTES).view(np.uint8)
    split = codes.reshape(codes.shape[0], -1, 2, 16)
    return _joined(split[:, :, 0], split[:, :, 1]).reshape(codes.shape[0], -1)


def direct_of(weights: IntArray) -> IntArray:
    """Return ``[tap][IC/groups][OC]`` of ``(OC, KH, KW, IC/groups)``, int8 where they fit, output channels padded."""
    channels, tall, wide, depth = weights.shape
    kind = np.int8 if fits(weights, 8) else np.int32
    full = np.zeros((tall * wide, depth, round_up(channels, VECTOR)), kind)
    full[:, :, :channels] = weights.reshape(channels, tall * wide, depth).transpose(1, 2, 0)
    return full


def fits(weights: IntArray, bits: int) -> bool:
    """Return whether every weight fits two's complement of ``bits`` bits."""
    limit = 1 << (bits - 1)
    return int(weights.min()) >= -limit and int(weights.max()) < limit


def _padded(rows: Int8, step: int) -> Int8:
    full = np.zeros((rows.shape[0], round_up(rows.shape[1], step)), np.int8)
    full[:, : rows.shape[1]] = rows
    return full


def _joined(low: Bytes, high: Bytes) -> Bytes:
    return np.bitwise_or(np.bitwise_and(low, 0xF), np.left_shift(high, 4), dtype=np.uint8)
