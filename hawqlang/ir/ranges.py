"""RangeTable: the real range of every tensor that gets quantized, per width."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from hawqlang.base import Frozen


class TensorRange(Frozen):
    """``[low, high]`` in the units of the float network; always includes 0."""

    tensor: str
    """The value that *roots* the range: a convolution, linear, add, average pool, concat or the input after its clamp.
    Tensors reached from it through max pool, slice, pad and flatten share the range and are not
    listed."""
    bits: int
    low: float
    high: float
    scheme: Literal["affine", "symmetric"] | None = None
    """Where a layer rule sets it for this tensor and width; else the table's."""


class RangeTable(Frozen):
    """Ranges of one model on one calibration set."""

    ranges: tuple[TensorRange, ...]
    method: str
    """As a card prints it: ``percentile(99.99%)``."""
    samples: int
    scheme: Literal["affine", "symmetric"] = "affine"

    def find(self, tensor: str, bits: int) -> TensorRange:
        """Return the range of the root ``tensor`` at ``bits``; ``KeyError`` where there is none."""
        for row in self.ranges:
            if row.tensor == tensor and row.bits == bits:
                return row
        raise KeyError((tensor, bits))

    def with_rows(self, rows: Iterable[TensorRange]) -> RangeTable:
        """Return the table with the rows of the same tensor and width replaced."""
        new = {(row.tensor, row.bits): row for row in rows}
        return self.replace(ranges=tuple(new.get((r.tensor, r.bits), r) for r in self.ranges))
