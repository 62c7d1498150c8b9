"""What a least-squares fit of a layer needs of its samples: sums of products, never the samples themselves.

A convolution is a linear map of the columns under its kernel, ``y = W x + b``, one map a group. Its squared output
error depends on the columns through a few sums alone,

    E = Σ (W x + b - y)² = tr(W Sxx W') - 2 tr(W Sxy) + Syy + …,

which are accumulated in float64 over the samples, at a fixed random choice of output positions.
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
    """Means over columns, float64; ``G`` groups of ``R`` outputs and ``K`` inputs each."""

    count: int
    xx: torch.Tensor
    """``(G, K, K)``: of x·x'."""
    yx: torch.Tensor
    """``(G, R, K)``: of y·x'."""
    x: torch.Tensor
    """``(G, K)``."""
    y: torch.Tensor
    """``(G, R)``."""
    yy: torch.Tensor
    """``(G, R)``: of y²."""

    def centred(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``xx`` and ``yx`` about the means, which is what counts where the bias is free."""
        xx = self.xx - self.x[:, :, None] * self.x[:, None, :]
        return xx, self.yx - self.y[:, :, None] * self.x[:, None, :]

    def bias(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the bias ``(G, R)`` with which ``weight`` has the wanted mean output."""
        return self.y - (weight @ self.x[:, :, None])[:, :, 0]

    def error(self, weight: torch.Tensor, bias: torch.Tensor) -> float:
        """Return the mean squared output error of ``weight (G, R, K)`` and ``bias (G, R)``, summed over outputs."""
        return float(self.errors(weight, bias).sum())

    def errors(self, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error ``(G, R)`` of each output."""
        mean = (weight @ self.x[:, :, None])[:, :, 0]
        quadratic = ((weight @ self.xx) * weight).sum(2) - 2 * (weight * self.yx).sum(2) + self.yy
        return (quadratic + bias * (bias + 2 * mean - 2 * self.y)).clamp_min(0)


class Sums:
    """Moments in the making."""

    def __init__(self, groups: int, outputs: int, inputs: int) -> None:
        """Start with no columns of ``inputs`` elements and ``outputs`` results, in each group."""

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(groups, *shape, dtype=torch.float64)

        self.count = 0
        self.xx, self.yx = zeros(inputs, inputs), zeros(outputs, inputs)
        self.x, self.y, self.yy = zeros(inputs), zeros(outputs), zeros(outputs)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take in columns ``x (G, M, K)`` and what is wanted of them, ``y (G, M, R)``, float32."""
        self.count += x.shape[1]
        for start in range(0, x.shape[1], ROWS):
            a, b = x[:, start : start + ROWS], y[:, start : start + ROWS]
            self.xx += a.mT @ a
            self.yx += b.mT @ a
        self.x += x.sum(1, dtype=torch.float64)
        self.y += y.sum(1, dtype=torch.float64)
        self.yy += y.square().sum(1, dtype=torch.float64)

    def moments(self) -> Moments:
        """Return the means."""
        n = max(self.count, 1)
        return Moments(
            self.count, self.xx / n, self.yx / n, self.x / n, self.y / n, self.yy / n
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
