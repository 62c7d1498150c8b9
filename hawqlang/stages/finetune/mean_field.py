"""Weights that choose among a few levels: a distribution over the levels is trained, and grows certain.

    u = softmax(b · l),   m = Σ_k u_k Q_k,   b from 1/5 or more to 10^4;   deployed: the most probable level

Ajanthan et al., "Proximal Mean-field for Neural Network Quantization" (2019). The logarithms begin as
``l_k = x Q_k - Q_k²/2`` with ``x`` the float weight in units of the levels: the most probable level is the nearest
one, and as long as ``b`` is small, ``m`` is nearly proportional to ``x``. The training therefore begins near the float
network, and the levels emerge from it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hawqlang.stages.finetune.levels import Levels

BEGINNINGS = (0.2, 0.4, 0.8, 1.6, 3.2)
"""Sharpness before training: that of these at which the mean is nearest to the float weight. The first for levels
that are symmetric about 0; others have means of their own while they are flat."""

MIDDLE, SHARPEST = 50.0, 1e4
"""Sharpness at the ends of the training's two parts; between them it grows by the same factor each step."""

UNTIL_MIDDLE, CERTAIN_AT = 0.7, 0.8
"""Shares of the training at which they end. What follows trains steps and biases around weights that are settled."""


class MeanField(Levels):
    """A distribution over the levels for each weight."""

    factor = 100.0
    """A logarithm has further to go than a weight."""

    def __init__(self, start: torch.Tensor, levels: Sequence[int], *, shared: bool = False) -> None:
        """Begin near the float weight; see :class:`Levels`."""
        super().__init__(start, levels, shared=shared)
        self._beginning = min(BEGINNINGS, key=lambda sharpness: self._off(start, sharpness))
        self._sharpness = self._beginning

    def advance(self, share: float) -> None:
        """Sharpen the distributions."""
        if share < UNTIL_MIDDLE:
            growth = MIDDLE / self._beginning
            self._sharpness = self._beginning * growth ** (share / UNTIL_MIDDLE)
        else:
            done = min(1.0, (share - UNTIL_MIDDLE) / (CERTAIN_AT - UNTIL_MIDDLE))
            self._sharpness = MIDDLE * (SHARPEST / MIDDLE) ** done

    def _off(self, start: torch.Tensor, sharpness: float) -> float:
        """Return the squared error of the mean weight at a sharpness."""
        self._sharpness = sharpness
        with torch.no_grad():
            return float((self.real() - start).square().sum())

    def _begin(self, weight: torch.Tensor) -> torch.Tensor:
        return weight[..., None] * self._levels - self._levels.square() / 2

    def _chosen(self) -> torch.Tensor:
        return self._levels[self._master.argmax(-1)]

    def _mean(self) -> torch.Tensor:
        return (self._sharpness * self._master).softmax(-1) @ self._levels
