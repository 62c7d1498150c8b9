"""Constants in the order in which the kernels read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang_codegen.tvm.layout import LANES, WORD

Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
IntArray = npt.NDArray[np.integer[Any]]

NARROW_SHIFT = 33
"""From this shift on the rounding constant is a multiple of 2^32, so the low half of a product cannot carry."""
FOLDED_SHIFT = 53
"""Up to this shift an 8-bit zero point fits beside the rounding constant in 32 bits."""
MAX_SHIFT = 62
SCALARS = 16
"""Words behind the parameter vectors: lo, hi, zero point, the addend's numbers, zeros."""


@dataclass(frozen=True, slots=True)
class Rescale:
    """Dyadic numbers per channel, normalised: the same ``R`` with the shift as near to the narrow form as it goes."""

    multiplier: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]

    @property
    def narrow(self) -> bool:
        """Return whether 32-bit operations on the high half of the product suffice."""
        return bool(np.all(self.shift >= NARROW_SHIFT))

    @property
    def fits(self) -> bool:
        """Return whether every shift is one that the kernels can do."""
        return bool(np.all(self.shift <= MAX_SHIFT))

    def folded(self, zero: int) -> bool:
        """Return whether the zero point can stand in the rounding constant."""
        return abs(zero) < 1 << 8 and bool(np.all(self.shift <= FOLDED_SHIFT))


def rescale(multiplier: IntArray, shift: IntArray, channels: int, scaled: int = 0) -> Rescale:
    """Return ``(m, s)`` for every channel: ``m·2^k`` and ``s + k`` round alike, so ``k`` is free where ``m`` allows.

    Args:
        multiplier: Per channel, or one.
        shift: As ``multiplier``.
        channels: Number of channels.
        scaled: The accumulators are ``2^scaled`` times what the program's are.
    """
    m = np.broadcast_to(multiplier.astype(np.int64), (channels,)).copy()
    s = np.broadcast_to(shift.astype(np.int64), (channels,)) + scaled
    s[m == 0] = NARROW_SHIFT
    for _ in range(NARROW_SHIFT):
        up = (s < NARROW_SHIFT) & (np.abs(m) < 1 << 30)
        down = (s > FOLDED_SHIFT) & (m % 2 == 0)
        m = np.where(up, m * 2, np.where(down, m // 2, m))
        s = s + up - down
    return Rescale(multiplier=m, shift=s)


@dataclass(frozen=True, slots=True)
class StoreScalars:
    """Per-store numbers in stored (biased) terms."""

    lo: int
    hi: int
    zero: int
    operand: tuple[int, ...] = ()
    """The addend's numbers: multiplier, rounding, shift, zero point, shift to the left before all."""

    def words(self) -> Int32:
        """Return the block of ``SCALARS`` words."""
        values = (self.lo, self.hi, self.zero, *self.operand)
        return np.array([*values, *[0] * (SCALARS - len(values))], dtype=np.int32)


def narrow_block(scale: Rescale, scalars: StoreScalars, channels: int) -> Int32:
    """Return multipliers, rounding constants and shifts of the high half, padded to ``channels``, then the scalars."""
    rounding = np.int64(1) << (scale.shift - NARROW_SHIFT)
    if scale.folded(scalars.zero):
        rounding = rounding + (np.int64(scalars.zero) << (scale.shift - 32))
    vectors = (scale.multiplier, rounding, scale.shift - 32)
    return np.concatenate([*(_padded(v, channels) for v in vectors), scalars.words()])


def wide_block(scale: Rescale, scalars: StoreScalars, channels: int) -> Int32:
    """Return multipliers and shifts padded to ``channels``, then the scalars."""
    shift = _padded(scale.shift, channels)
    shift[scale.shift.size :] = 1
    return np.concatenate([_padded(scale.multiplier, channels), shift, scalars.words()])


def _padded(values: npt.NDArray[np.int64], channels: int) -> Int32:
    result = np.zeros(channels, dtype=np.int32)
    result[: values.size] = values
    return result


def dense_weights(weights: IntArray, vectors: int, word: int = WORD) -> Int8:
    """Return weights ``[blocks][KH][KW][IC/word][vectors][16][word]`` of ``(OC, KH, KW, IC)``; padding is zeros.

    A word is 32 bits: four channels of int8 or two of int16, as four bytes either way.
    """
    channels, tall, wide, depth = weights.shape
    blocks = -(-channels // (vectors * LANES))
    words = -(-depth // word)
    full = np.zeros((blocks * vectors * LANES, tall, wide, words * word), dtype=weights.dtype)
    full[:channels, :, :, :depth] = weights
    split = full.reshape(blocks, vectors, LANES, tall, wide, words, word)
    return np.ascontiguousarray(split.transpose(0, 3, 4, 5, 1, 2, 6)).view(np.int8)


def joined_taps(weights: Int8) -> Int8:
    """Return dense weights whose taps of a row follow each other as the words of one tap."""
    blocks, tall, wide, words, *rest = weights.shape
    return weights.reshape(blocks, tall, 1, wide * words, *rest)


def nibbles(weights: Int8) -> npt.NDArray[np.uint8]:
    """Return dense weights of at most 4 bits two to a byte: words 2k and 2k + 1 as its low and high half.

    An odd last word is paired with zeros, which meet whatever activations follow it.
    """
    blocks, tall, wide, words, *rest = weights.shape
    even = np.zeros((blocks, tall, wide, words + words % 2, *rest), dtype=np.int8)
    even[:, :, :, :words] = weights
    codes = even.view(np.uint8)
    low, high = codes[:, :, :, 0::2], codes[:, :, :, 1::2]
    return np.bitwise_or(np.bitwise_and(low, 0xF), np.left_shift(high, 4), dtype=np.uint8)


def planes(weights: IntArray) -> int:
    """Return how many signed bytes add up to every one of the weights."""
    return max(1, -(-int(weights.max()) // 127), -(int(weights.min()) // 128))


def depthwise_weights(weights: IntArray, lanes: int, pixel: int, count: int = 1) -> Int8:
    """Return ``[C/lanes][quads][KW][count][4][lanes/16][4][4]`` of ``(C, KH, KW, 1)``: weights as sums of bytes.

    The last axis is four tap rows; the three before it are channel ``16·l + 4·j + i`` as ``[j][l][i]``, the order in
    which interleaving bytes, then words, of vectors of ``lanes`` bytes leaves them.
    """
    channels, tall, wide, _ = weights.shape
    quads = -(-tall // WORD)
    full = np.zeros((count, pixel, quads * WORD, wide), dtype=np.int8)
    rest = weights[:, :, :, 0].astype(np.int64)
    for plane in full:
        plane[:channels, :tall] = np.clip(rest, -128, 127)
        rest = rest - plane[:channels, :tall]
    split = full.reshape(count, pixel // lanes, lanes // LANES, WORD, WORD, quads, WORD, wide)
    return np.ascontiguousarray(split.transpose(1, 5, 7, 0, 3, 2, 4, 6))


def wide_depthwise_weights(weights: IntArray, pixel: int) -> Int32:
    """Return weights ``[KH][KW][C]`` of ``(C, KH, KW, 1)`` in int32, channels padded to those of a stored pixel."""
    channels, tall, wide, _ = weights.shape
    full = np.zeros((tall, wide, pixel), dtype=np.int32)
    full[:, :, :channels] = weights[:, :, :, 0].transpose(1, 2, 0)
    return full


def padded_bias(bias: npt.NDArray[np.int64], channels: int) -> Int32:
    """Return biases padded to ``channels``; that they fit int32 has been proven with the sums they begin."""
    result = np.zeros(channels, dtype=np.int32)
    result[: bias.size] = bias
    return result


@dataclass(frozen=True, slots=True)
class Windows:
    """The input channels each block of output channels of a grouped convolution reads."""

    start: Int32
    """First word per block."""
    weights: IntArray
    """``(OC, KH, KW, word·words)``, zeros outside the channel's own group."""
    words: int


def group_windows(
    weights: IntArray, groups: int, block: int, pixel: int, word: int = WORD
) -> Windows:
    """Return a grouped convolution as dense ones on windows of channels.

    Args:
        weights: ``(OC, KH, KW, IC / groups)``.
        groups: Number of groups.
        block: Output channels computed together.
        pixel: Channels of the stored input, padding included, that a window must not leave.
        word: Channels of a 32-bit word.
    """
    channels, tall, wide, depth = weights.shape
    per_group = channels // groups
    spans: list[tuple[int, int]] = []
    for first in range(0, channels, block):
        last = min(first + block, channels) - 1
        spans.append((first // per_group * depth, (last // per_group + 1) * depth))
    words = max(-(-stop // word) - start // word for start, stop in spans)
    starts = [min(start // word, pixel // word - words) for start, _ in spans]
    full = np.zeros((channels, tall, wide, words * word), dtype=weights.dtype)
    for channel in range(channels):
        at = channel // per_group * depth - starts[channel // block] * word
        full[channel, :, :, at : at + depth] = weights[channel]
    return Windows(start=np.array(starts, dtype=np.int32), weights=full, words=words)
