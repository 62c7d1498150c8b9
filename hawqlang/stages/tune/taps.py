"""The mean of a layer's output without computing the output.

A convolution is linear, so the mean of its result over all positions is the weight applied to the
mean of its input under each tap: one small product per sample instead of a convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.ir.graph import Conv2d, Linear


def tap_means(node: Conv2d | Linear, x: torch.Tensor, kernel: tuple[int, int]) -> torch.Tensor:
    """Return the mean of the input under each tap, ``(N, IC, KH, KW)``; of a linear, the input.

    Args:
        node: The layer.
        x: Its input, ``(N, IC, H, W)`` or ``(N, IF)``.
        kernel: The weight's height and width; not used for a linear.
    """
    if isinstance(node, Linear):
        return x
    top, left, bottom, right = node.padding
    if any(node.padding):
        x = F.pad(x, (left, right, top, bottom))
    (height, width), (down, across), (dy, dx) = kernel, node.stride, node.dilation
    rows = (x.shape[2] - dy * (height - 1) - 1) // down + 1
    columns = (x.shape[3] - dx * (width - 1) - 1) // across + 1
    means = [
        x[:, :, i * dy : i * dy + down * rows : down, j * dx : j * dx + across * columns : across]
        .mean((2, 3))
        .double()
        for i in range(height)
        for j in range(width)
    ]
    return torch.stack(means, 2).reshape(x.shape[0], x.shape[1], height, width)


def mean_outputs(node: Conv2d | Linear, means: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the mean of each output channel ``(N, OC)``, without bias, given :func:`tap_means`."""
    if isinstance(node, Linear):
        return means.double() @ weight.double().T
    grouped = means.reshape(means.shape[0], node.groups, -1)
    rows = weight.double().reshape(node.groups, weight.shape[0] // node.groups, -1)
    return torch.einsum("ngk,gok->ngo", grouped.double(), rows).reshape(means.shape[0], -1)
