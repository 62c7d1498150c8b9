"""A small generator of images: latent vectors and classes to codes in [0, 255]."""

from __future__ import annotations

import math

import torch
from torch import nn

LATENT = 64
SEED_SIZE = 8
"""Largest side of the map that the generator starts from."""

WIDEST, NARROWEST = 96, 16
"""Channels of that map, and the fewest of any."""

CONTRAST = 1.5
"""Deviation of what enters the final sigmoid."""


class Generator(nn.Module):
    """Nearest-neighbour doublings and 3x3 convolutions, channels halved each time; whole batches are normalised.

    Args:
        shape: ``(C, H, W)`` of an image in the network's own order.
        classes: How many classes there are; each has a learned vector that is added to the latent one.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        doublings = max(0, math.ceil(math.log2(max(height, width) / SEED_SIZE)))
        self._size = (height, width)
        self._start = (WIDEST, -(-height // 2**doublings), -(-width // 2**doublings))
        self._of_class = nn.Embedding(classes, LATENT)
        self._enter = nn.Linear(LATENT, math.prod(self._start))
        layers: list[nn.Module] = [nn.BatchNorm2d(WIDEST)]
        have = WIDEST
        for index in range(doublings + 1):
            want = max(NARROWEST, have // 2)
            if index:
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
            layers += [nn.Conv2d(have, want, 3, padding=1), nn.BatchNorm2d(want), nn.LeakyReLU(0.2)]
            have = want
        layers += [nn.Conv2d(have, channels, 3, padding=1), nn.BatchNorm2d(channels, affine=False)]
        self._body = nn.Sequential(*layers)

    def forward(self, latent: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return codes ``(N, C, H, W)`` for latent vectors ``(N, LATENT)`` and classes ``(N,)``."""
        start = self._enter(latent + self._of_class(classes)).reshape(-1, *self._start)
        maps = self._body(start)[:, :, : self._size[0], : self._size[1]]
        return 255 * torch.sigmoid(CONTRAST * maps)
