"""The integers that a weight may be, and what each of them is worth: one form for all kinds of weights.

A weight is ``scale·multiple·u`` with a whole ``u`` between two ends. Symmetric codes are ``u`` themselves; of affine
ones the zero point is taken away first, so that their ends differ from row to row; groups of input channels have a
whole multiple of their row's scale each. ``multiple·u`` is what is multiplied and summed, whatever the kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from hawqlang.stages.quantize import QuantizedWeight, group_of, weight_limit

CLOSE = 1e-9
"""Multiples are rounded up but for this much, as ``quantize`` does."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What the integers of a weight ``(G, R, K)`` stand for; the columns of a row lie in ``S`` groups."""

    scale: torch.Tensor
    """``(G, R)``, float64."""
    low: torch.Tensor
    """``(G, R, S)``: the least integer."""
    high: torch.Tensor
    """``(G, R, S)``."""
    multiple: torch.Tensor
    """``(G, R, S)``: steps of the scale that an integer is worth."""
    index: torch.Tensor | None = None
    """``(K,)``: the group of each column; ``None``: one for all."""

    def wide(self, values: torch.Tensor) -> torch.Tensor:
        """Return values ``(G, R, S)`` per column, ``(G, R, K)``, or ``(G, R, 1)`` where all are in one group."""
        return values if self.index is None else values[:, :, self.index]

    def steps(self) -> torch.Tensor:
        """Return what an integer is worth, per column as :meth:`wide`."""
        return self.scale[:, :, None] * self.wide(self.multiple)

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the least and the largest integer, per column as :meth:`wide`."""
        return self.wide(self.low), self.wide(self.high)

    def at(self, scale: torch.Tensor) -> Grid:
        """Return the grid at other scales."""
        return replace(self, scale=scale)

    def where(self, rows: torch.Tensor, other: Grid) -> Grid:
        """Return the grid, for the ``rows (G, R)`` that are false the other one."""
        wide = rows[:, :, None]
        return replace(
            self,
            scale=torch.where(rows, self.scale, other.scale),
            low=torch.where(wide, self.low, other.low),
            high=torch.where(wide, self.high, other.high),
            multiple=torch.where(wide, self.multiple, other.multiple),
        )


@dataclass(frozen=True, slots=True)
class Rounded:
    """Integers ``(G, R, K)``, float64, and what they stand for."""

    q: torch.Tensor
    """Codes less their zero points."""
    grid: Grid

    def integers(self) -> torch.Tensor:
        """Return the weight in whole steps of its row's scale."""
        return self.q * self.grid.wide(self.grid.multiple)

    def real(self) -> torch.Tensor:
        """Return the weight that they stand for."""
        return self.q * self.grid.steps()


@dataclass(frozen=True, slots=True)
class Codes:
    """How a weight is kept: all that a search for its integers may not change."""

    bits: int
    """At least 2."""
    affine: bool = False
    """Whether each group of a row has a zero point."""
    shared: bool = False
    """Whether all rows have one scale and zero point; not with groups."""
    index: torch.Tensor | None = None
    """``(K,)``: the group of each column; ``None``: one for all."""
    most_multiple: int = 1
    """Largest scale of a group in units of its row's."""

    def grid(self, target: torch.Tensor, ratio: float, least: torch.Tensor) -> Grid:
        """Return the grid that covers ``ratio`` of the range of ``target (G, R, K)``.

        A row of zeros takes the largest scale of the others, 1 where there is none.

        Args:
            target: The weight that is wanted.
            ratio: Share of the range; what lies outside of it is clipped.
            least: Smallest scale allowed, ``(G, R)`` or for all.
        """
        limit = weight_limit(self.bits)
        low, largest = self._extremes(target)
        width = largest - low if self.affine else largest
        levels = 2 * limit + 1 if self.affine else limit
        full = width.amax(2)
        top = full.max()
        full = torch.where(full > 0, full, torch.where(top > 0, top, levels)) / levels
        scale = torch.maximum(full * ratio / self.most_multiple, least)
        multiple = torch.ones_like(width)
        if self.index is not None:
            own = width * ratio / levels / scale[:, :, None]
            multiple = torch.ceil(own - CLOSE).clamp_(1, self.most_multiple)
        if not self.affine:
            end = torch.full_like(multiple, limit)
            return Grid(scale, -end, end, multiple, self.index)
        half = limit + 1
        zero = torch.round(-half - low * ratio / (scale[:, :, None] * multiple)).clamp_(
            -half, limit
        )
        return Grid(scale, -half - zero, limit - zero, multiple, self.index)

    def grid_of(self, weight: QuantizedWeight, shape: tuple[int, int]) -> Grid:
        """Return the grid of a quantized weight of ``shape = (G, R)``."""

        def rows(values: np.ndarray, columns: int) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.float64)).reshape(*shape, columns)

        groups = 1 if self.index is None else int(self.index.max()) + 1
        one = torch.ones(*shape, groups, dtype=torch.float64)
        multiple = one if weight.multiple is None else rows(weight.multiple, groups)
        limit = weight_limit(self.bits)
        scale = rows(weight.scale, 1)[:, :, 0]
        if weight.zero is None:
            return Grid(scale, -limit * one, limit * one, multiple, self.index)
        zero = rows(weight.zero, groups)
        return Grid(scale, -limit - 1 - zero, limit - zero, multiple, self.index)

    def quantized(self, found: Rounded, like: QuantizedWeight) -> QuantizedWeight:
        """Return the codes of some integers, shaped and typed as those of another weight of the same kind."""
        grid, count = found.grid, len(like.scale)

        def rows(values: torch.Tensor) -> np.ndarray:
            return values.reshape(count, -1).numpy().astype(np.int64)

        zero = -weight_limit(self.bits) - 1 - grid.low if self.affine else None
        q = found.q if zero is None else found.q + grid.wide(zero)
        return QuantizedWeight(
            np.ascontiguousarray(q.reshape(like.q.shape).numpy().astype(like.q.dtype)),
            grid.scale.reshape(-1).numpy().copy(),
            None if zero is None else rows(zero),
            None if like.multiple is None else rows(grid.multiple),
            like.group,
        )

    def _extremes(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the least and the largest value of each group, 0 included; the largest magnitude where symmetric."""
        high = target.clamp_min(0) if self.affine else target.abs()
        low = target.clamp_max(0) if self.affine else torch.zeros_like(target)
        if self.index is not None:
            groups = range(int(self.index.max()) + 1)
            low = torch.stack([low[:, :, self.index == s].amin(2) for s in groups], 2)
            return low, torch.stack([high[:, :, self.index == s].amax(2) for s in groups], 2)
        low, high = low.amin(2, keepdim=True), high.amax(2, keepdim=True)
        if self.shared:
            low, high = low.min().expand_as(low), high.max().expand_as(high)
        return low, high


def codes_of(weight: QuantizedWeight, bits: int, *, shared: bool) -> Codes:
    """Return how a weight is kept.

    Args:
        weight: It, in the model's layout.
        bits: Its width.
        shared: Whether all of its rows have one scale.
    """
    affine = weight.zero is not None
    if weight.multiple is None:
        return Codes(bits, affine, shared)
    taps = int(np.prod(weight.q.shape[2:], dtype=np.int64))
    index = torch.from_numpy(group_of(weight.q.shape[1], weight.group).astype(np.int64))
    return Codes(bits, affine, False, index.repeat_interleave(taps), int(weight.multiple.max()))
