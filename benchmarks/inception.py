"""Inception version 3 as a torch module, without its auxiliary classifier.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", section 6, with the
widths that are commonly used; every convolution is followed by a batch norm and a ReLU.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

Size = int | tuple[int, int]


class Unit(nn.Module):
    """Convolution, batch norm, ReLU; padded so that the size stays where the stride is 1."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, *, stride: int = 1) -> None:
        super().__init__()
        tall, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (0, 0) if stride > 1 else (tall // 2, wide // 2)
        self.conv = nn.Conv2d(inputs, outputs, (tall, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``relu(bn(conv(x)))``."""
        return functional.relu(self.bn(self.conv(x)))


def chain(inputs: int, *units: tuple[int, Size] | tuple[int, Size, int]) -> nn.Sequential:
    """Return units one after the other: output channels, kernel, stride of each."""
    layers: list[nn.Module] = []
    for outputs, kernel, *stride in units:
        layers.append(Unit(inputs, outputs, kernel, stride=stride[0] if stride else 1))
        inputs = outputs
    return nn.Sequential(*layers)


class Mixed(nn.Module):
    """Branches side by side, the last of them behind a pool, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the concatenation of all branches."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class Fork(nn.Module):
    """A stem whose result two convolutions share: one wide, one tall."""

    def __init__(self, stem: nn.Module, inputs: int) -> None:
        super().__init__()
        self.stem = stem
        self.both = Mixed(chain(inputs, (384, (1, 3))), chain(inputs, (384, (3, 1))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return both halves, concatenated."""
        return self.both(self.stem(x))


def mean(inputs: int, outputs: int) -> nn.Sequential:
    """Return the branch that averages 3 x 3 pixels before its convolution."""
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), Unit(inputs, outputs, 1))


def wide(inputs: int, pooled: int) -> Mixed:
    """Return a block of 35 x 35 pixels."""
    return Mixed(
        chain(inputs, (64, 1)),
        chain(inputs, (48, 1), (64, 5)),
        chain(inputs, (64, 1), (96, 3), (96, 3)),
        mean(inputs, pooled),
    )


def factorized(inputs: int, inner: int) -> Mixed:
    """Return a block of 17 x 17 pixels: 7 x 7 convolutions as rows and columns."""
    return Mixed(
        chain(inputs, (192, 1)),
        chain(inputs, (inner, 1), (inner, (1, 7)), (192, (7, 1))),
        chain(inputs, (inner, 1), (inner, (7, 1)), (inner, (1, 7)), (inner, (7, 1)), (192, (1, 7))),
        mean(inputs, 192),
    )


def forked(inputs: int) -> Mixed:
    """Return a block of 8 x 8 pixels."""
    return Mixed(
        chain(inputs, (320, 1)),
        Fork(chain(inputs, (384, 1)), 384),
        Fork(chain(inputs, (448, 1), (384, 3)), 384),
        mean(inputs, 192),
    )


class InceptionV3(nn.Module):
    """Inception version 3 for 299 x 299 images."""

    def __init__(self) -> None:
        super().__init__()
        stem = [Unit(3, 32, 3, stride=2), Unit(32, 32, (3, 3)), Unit(32, 64, 3)]
        stem[1].conv.padding = (0, 0)
        last = Unit(80, 192, 3)
        last.conv.padding = (0, 0)
        pool = nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(
            *(*stem, pool, Unit(64, 80, 1), last, pool),
            *(wide(192, 32), wide(256, 64), wide(288, 64)),
            Mixed(chain(288, (384, 3, 2)), chain(288, (64, 1), (96, 3), (96, 3, 2)), pool),
            *(factorized(768, inner) for inner in (128, 160, 160, 192)),
            Mixed(
                chain(768, (192, 1), (320, 3, 2)),
                chain(768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
                pool,
            ),
            *(forked(1280), forked(2048)),
        )
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.adaptive_avg_pool2d(self.features(x), 1)
        return self.fc(torch.flatten(x, 1))
