"""RangeTable: the real range of every tensor that gets quantized, per width."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen


class TensorRange(Frozen):
    """``[low, high]`` in the units of the float network; always includes 0."""

    tensor: str
    """The value that *roots* the range: a convolution, linear, add, average pool, concat or the input after its clamp.
    Tensors reached from it through max pool, slice, pad and flatten share the range and are not listed."""
    bits: int
    low: float
    high: float


class RangeTable(Frozen):
    """Ranges of one model on one calibration set."""

    ranges: tuple[TensorRange, ...]
    method: str
    """As a card prints it: ``percentile(99.99%)``."""
    samples: int
    scheme: Literal["affine", "symmetric"] = "affine"
