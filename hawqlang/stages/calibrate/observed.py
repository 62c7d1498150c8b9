"""What calibration remembers of one tensor: extremes, and a histogram of its values.

The histogram has the same relative resolution at every magnitude: a bin is the sign, exponent and
leading mantissa bits of a float32. Nothing has to be known about the range beforehand, counts of
batches simply add up, and the result does not depend on how the samples were split into batches.
Memory is constant, 256 KiB for a tensor of both signs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Float64 = npt.NDArray[np.float64]
Interval = tuple[float, float]

MANTISSA_BITS = 8
"""Bins per octave: 2^8, so that the edges of a bin differ by less than 0.4 %."""

SMALLEST_EXPONENT = -31
"""Magnitudes below 2^-31 count as 0."""

OCTAVES = 64
"""Magnitudes from 2^33 upwards share the last bin."""

BINS = OCTAVES << MANTISSA_BITS

_SHIFT = 23 - MANTISSA_BITS
_FIRST = ((127 + SMALLEST_EXPONENT) << MANTISSA_BITS) - 1
"""The shifted float32 pattern that is bin 0."""

_CACHED = 2**18
"""Elements counted at once: what stays in the cache between the steps."""


def bin_edges() -> Float64:
    """Return the magnitudes ``(BINS + 1,)`` between which the bins lie, from 0 to infinity."""
    patterns = (np.arange(BINS + 1, dtype=np.int32) + _FIRST) << _SHIFT
    edges = patterns.view(np.float32).astype(np.float64)
    edges[0], edges[-1] = 0.0, np.inf
    return edges


@dataclass(frozen=True, slots=True)
class Segments:
    """The distribution of a tensor: evenly spread mass between edges, and a point mass at 0."""

    left: Float64
    right: Float64
    count: Float64
    """Values strictly between the edges; ascending, without empty segments."""
    zeros: float


@dataclass(slots=True)
class Observed:
    """Running statistics of one tensor."""

    counted: bool = True
    """Whether values are counted; otherwise only extremes are kept."""
    momenta: tuple[float, ...] = ()
    """Moving averages of per-sample extremes to keep."""
    low: float = 0.0
    """The smallest value seen, at most 0."""
    high: float = 0.0
    """The largest value seen, at least 0."""
    only: float | None = None
    """The value that all elements had so far; ``nan`` once there were two."""
    ema: dict[float, Interval] = field(default_factory=dict[float, Interval])
    positive: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """Counts ``(BINS,)`` of values >= 0."""
    negative: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """Counts ``(BINS,)`` of values < 0, by magnitude."""

    def add(self, x: torch.Tensor) -> None:
        """Take in a batch, float32 with the samples along axis 0.

        Anything that is not finite makes the extremes infinite, and they stay so.
        """
        import torch

        smallest, largest = (float(v) for v in torch.aminmax(x))
        if not np.isfinite([smallest, largest]).all():
            self.low, self.high = -np.inf, np.inf
            return
        self.low, self.high = min(self.low, smallest), max(self.high, largest)
        if self.only is None:
            self.only = smallest
        if not smallest == largest == self.only:
            self.only = np.nan
        if self.momenta:
            self._average(x)
        if self.counted:
            self._count(x, signed=smallest < 0)

    def _average(self, x: torch.Tensor) -> None:
        rows = x.reshape(x.shape[0], -1)
        extremes = zip(rows.amin(1).numpy(), rows.amax(1).numpy(), strict=True)
        for low, high in ((float(a), float(b)) for a, b in extremes):
            for m in self.momenta:
                old = self.ema.get(m, (low, high))
                self.ema[m] = (m * old[0] + (1 - m) * low, m * old[1] + (1 - m) * high)

    def _count(self, x: torch.Tensor, *, signed: bool) -> None:
        import torch

        pattern = x.reshape(-1).view(torch.int32)
        for start in range(0, len(pattern), _CACHED):
            part = pattern[start : start + _CACHED]
            index = ((part & 0x7FFFFFFF) >> _SHIFT).sub_(_FIRST).clamp_(0, BINS - 1)
            if not signed:
                self.positive += torch.bincount(index, minlength=BINS).numpy()
                continue
            index.add_((part < 0).to(torch.int32), alpha=BINS)
            counts = torch.bincount(index, minlength=2 * BINS).numpy()
            self.positive += counts[:BINS]
            self.negative += counts[BINS:]

    @property
    def finite(self) -> bool:
        """Return whether every value seen was finite."""
        return bool(np.isfinite([self.low, self.high]).all())

    def segments(self) -> Segments:
        """Return the distribution; the outermost edges are the extremes themselves."""
        edges = bin_edges()
        left = np.concatenate([-edges[:0:-1], edges[:-1]])
        right = np.concatenate([-edges[-2::-1], edges[1:]])
        count = np.concatenate([self.negative[::-1], self.positive]).astype(np.float64)
        zeros = float(count[BINS - 1] + count[BINS])
        count[[BINS - 1, BINS]] = 0.0
        some = count > 0
        return Segments(
            np.maximum(left[some], self.low), np.minimum(right[some], self.high), count[some], zeros
        )
