"""What a least-squares fit of a layer needs of its samples: sums of products, never the samples themselves.

A convolution is a linear map of the columns under its kernel, ``y = W x + b``, one map a group. Its squared output
error depends on the columns through means and second moments alone,

    E|W x + b - y|² = tr(W Cxx W' - 2 W Cxy + Cyy) + |W x̄ + b - ȳ|²,

which are accumulated in float64 over the samples, at a fixed random choice of output positions. Everything is summed
about the mean of the first portion, so that inputs that hardly vary lose no digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.ir.graph import Conv2d
from hawqlang.stages.structure import LayerNode

ROWS = 2048
"""Columns multiplied in float32 before their sums join the float64 ones."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and centred second moments over columns, float64; ``G`` groups of ``R`` outputs and ``K`` inputs each."""

    count: int
    xx: torch.Tensor
    """``(G, K, K)``: of (x - x̄)(x - x̄)'."""
    yx: torch.Tensor
    """``(G, R, K)``: of (y - ȳ)(x - x̄)'."""
    yy: torch.Tensor
    """``(G, R)``: of (y - ȳ)²."""
    x: torch.Tensor
    """``(G, K)``."""
    y: torch.Tensor
    """``(G, R)``."""

    def about(self, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return second moments of x, and of what a given bias ``(G, R)`` leaves of y with x, both about 0."""
        rest = self.y - bias
        xx = self.xx + self.x[:, :, None] * self.x[:, None, :]
        return xx, self.yx + rest[:, :, None] * self.x[:, None, :]

    def bias(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the bias ``(G, R)`` with which ``weight`` has the wanted mean output."""
        return self.y - (weight @ self.x[:, :, None])[:, :, 0]

    def error(self, weight: torch.Tensor, bias: torch.Tensor) -> float:
        """Return the mean squared output error of ``weight (G, R, K)`` and ``bias (G, R)``, summed over outputs."""
        spread = ((weight @ self.xx) * weight).sum(2) - 2 * (weight * self.yx).sum(2) + self.yy
        shift = self.bias(weight) - bias
        return float((spread.clamp_min(0) + shift.square()).sum())


def pooled(a: Moments, b: Moments) -> Moments:
    """Return the moments of two sets of columns taken together; at least one of them is not empty."""
    count = a.count + b.count
    u, v = a.count / count, b.count / count
    dx, dy = a.x - b.x, a.y - b.y
    return Moments(
        count=count,
        xx=u * a.xx + v * b.xx + u * v * dx[:, :, None] * dx[:, None, :],
        yx=u * a.yx + v * b.yx + u * v * dy[:, :, None] * dx[:, None, :],
        yy=u * a.yy + v * b.yy + u * v * dy.square(),
        x=u * a.x + v * b.x,
        y=u * a.y + v * b.y,
    )


class Sums:
    """Moments in the making."""

    def __init__(self, groups: int, outputs: int, inputs: int) -> None:
        """Start with no columns of ``inputs`` elements and ``outputs`` results, in each group."""

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(groups, *shape, dtype=torch.float64)

        self.count = 0
        self._xx, self._yx, self._yy = zeros(inputs, inputs), zeros(outputs, inputs), zeros(outputs)
        self._x, self._y = zeros(inputs), zeros(outputs)
        self._origin: tuple[torch.Tensor, torch.Tensor] | None = None

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take in columns ``x (G, M, K)`` and what is wanted of them, ``y (G, M, R)``, float32."""
        if self._origin is None:
            self._origin = (x.mean(1, keepdim=True), y.mean(1, keepdim=True))
        self.count += x.shape[1]
        for start in range(0, x.shape[1], ROWS):
            a = x[:, start : start + ROWS] - self._origin[0]
            b = y[:, start : start + ROWS] - self._origin[1]
            self._xx += a.mT @ a
            self._yx += b.mT @ a
            self._x += a.sum(1, dtype=torch.float64)
            self._y += b.sum(1, dtype=torch.float64)
            self._yy += b.square().sum(1, dtype=torch.float64)

    def moments(self) -> Moments:
        """Return means and centred second moments; 0 without any column."""
        n = max(self.count, 1)
        x, y = self._x / n, self._y / n
        return Moments(
            count=self.count,
            xx=self._xx / n - x[:, :, None] * x[:, None, :],
            yx=self._yx / n - y[:, :, None] * x[:, None, :],
            yy=(self._yy / n - y.square()).clamp_min(0),
            x=x if self._origin is None else x + self._origin[0][:, 0],
            y=y if self._origin is None else y + self._origin[1][:, 0],
        )


def groups_of(node: LayerNode) -> int:
    """Return how many maps a layer consists of."""
    return node.groups if isinstance(node, Conv2d) else 1


def rows_of(node: LayerNode, weight: torch.Tensor) -> torch.Tensor:
    """Return a layer's weight as ``(G, R, K)``, outputs in order."""
    groups = groups_of(node)
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def columns(
    node: LayerNode, x: torch.Tensor, kernel: tuple[int, int], positions: torch.Tensor
) -> torch.Tensor:
    """Return what lies under the kernel at some output positions, ``(G, N·P, K)``.

    Args:
        node: The layer.
        x: Its input, ``(N, IC, H, W)`` or ``(N, IF)``.
        kernel: The weight's height and width; not used for a linear.
        positions: ``(P,)`` numbers of output positions, row by row; not used for a linear.
    """
    if not isinstance(node, Conv2d):
        return x[None]
    top, left, bottom, right = node.padding
    if any(node.padding):
        x = F.pad(x, (left, right, top, bottom))
    (height, width), (down, across), (dy, dx) = kernel, node.stride, node.dilation
    wide = (x.shape[3] - dx * (width - 1) - 1) // across + 1
    corner = (positions // wide) * down * x.shape[3] + (positions % wide) * across
    taps = torch.arange(height)[:, None] * dy * x.shape[3] + torch.arange(width) * dx
    index = corner[:, None] + taps.reshape(-1)
    found = x.flatten(2)[:, :, index.reshape(-1)]
    n, channels = x.shape[:2]
    found = found.reshape(n, node.groups, channels // node.groups, len(positions), -1)
    return found.permute(1, 0, 3, 2, 4).reshape(node.groups, n * len(positions), -1)


def wanted(node: LayerNode, y: torch.Tensor) -> torch.Tensor:
    """Return outputs at some positions, ``(N, OC, P)`` or ``(N, OF)``, as ``(G, N·P, R)``."""
    if y.ndim == 2:
        return y[None]
    groups = groups_of(node)
    n, channels, count = y.shape
    found = y.reshape(n, groups, channels // groups, count)
    return found.permute(1, 0, 3, 2).reshape(groups, n * count, -1)
