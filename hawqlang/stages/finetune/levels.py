"""Weights on a few levels: integers times one learned size per output channel.

    w = g[c] · m / rms(m[c])

``m`` is a level, or a mean of levels while a weight has not decided. Written so, ``g`` is the size of a channel's
weights whatever its levels are, and means that shrink towards 0 do not shrink what the next layer reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from hawqlang.stages.finetune.quantizers import Movable
from hawqlang.stages.finetune.straight import straight_through
from hawqlang.stages.quantize import QuantizedWeight


class Levels(Movable, ABC):
    """The weight of one layer over a set of levels."""

    factor: float
    """The rate of what decides about levels, in units of that of float weights."""

    def __init__(self, start: torch.Tensor, levels: Sequence[int], *, shared: bool = False) -> None:
        """Begin with channels as large as those of the float weight.

        Args:
            start: The real weight ``(OC, ...)``.
            levels: Integers, at least two.
            shared: Whether all channels have one scale.
        """
        self._parts = 1 if shared else len(start)
        self._channels = len(start)
        rows = start.reshape(self._parts, -1)
        least = 1e-8 + 1e-3 * float(rows.square().mean().sqrt())
        self._levels = torch.tensor(sorted(levels), dtype=start.dtype)
        self._rows = (-1, *[1] * (start.ndim - 1))
        unit = rows.abs().mean(1).clamp(min=least) / float(self._levels.abs().mean())
        self._log_size = rows.square().mean(1).sqrt().clamp(min=least).log().requires_grad_()
        self._master = self._begin(start / unit.reshape(self._rows)).requires_grad_()

    @abstractmethod
    def _begin(self, weight: torch.Tensor) -> torch.Tensor:
        """Return what learns for a weight in units in which its mean magnitude is that of the levels."""

    @abstractmethod
    def _chosen(self) -> torch.Tensor:
        """Return the level that each weight is deployed with."""

    @abstractmethod
    def _mean(self) -> torch.Tensor:
        """Return the level of each weight in training, differentiable."""

    def weights(self) -> list[torch.Tensor]:
        """Return what decides about levels."""
        return [self._master]

    def steps(self) -> list[torch.Tensor]:
        """Return the logarithms of the channels' sizes."""
        return [self._log_size]

    def step(self) -> torch.Tensor:
        """Return the scale of each output channel ``(OC,)``."""
        return self._scaled(self._mean())

    def real(self) -> torch.Tensor:
        """Return the weight in training, differentiable."""
        mean = self._mean()
        return mean * self._scaled(mean).reshape(self._rows)

    def exported(self) -> QuantizedWeight:
        """Return the levels and scales that are deployed."""
        with torch.no_grad():
            chosen = self._chosen()
            scale = self._scaled(chosen).double().cpu().numpy().copy()
            q = chosen.cpu().numpy()
        small = np.abs(q).max(initial=0) < 128
        return QuantizedWeight(q.astype(np.int8) if small else q.astype(np.int16), scale)

    def resize(self, by: torch.Tensor) -> None:
        """Multiply the size of each channel ``(OC,)``; by the geometric mean where all have one."""
        with torch.no_grad():
            self._log_size.add_(by.log().reshape(self._parts, -1).mean(1))

    def _scaled(self, mean: torch.Tensor) -> torch.Tensor:
        """Return what makes a channel of levels as large as it is to be.

        The bound comes before the root: at 0, where a channel has chosen level 0 throughout, a root has no gradient.
        """
        size = mean.reshape(self._parts, -1).square().mean(1).clamp(min=1e-12).sqrt()
        return (self._log_size.exp() / size).expand(self._channels)


class NearestLevel(Levels):
    """Each weight is the level nearest to a float weight behind it, and its gradient passes straight through.

    Courbariaux et al., "BinaryConnect" (2015) for ``{-1, 1}``; Li et al., "Ternary Weight Networks" (2016) for
    ``{-1, 0, 1}``. Beyond the outermost levels there is no gradient.
    """

    factor = 50.0
    """The float weights are in units of the levels, some ten to thirty times as large as weights are."""

    def advance(self, share: float) -> None:
        """Do nothing: the levels are there from the start."""

    def _begin(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.clone()

    def _chosen(self) -> torch.Tensor:
        with torch.no_grad():
            middles = (self._levels[1:] + self._levels[:-1]) / 2
            return self._levels[torch.bucketize(self._master, middles)]

    def _mean(self) -> torch.Tensor:
        inside = self._master.clamp(self._levels[0], self._levels[-1])
        return straight_through(inside, self._chosen())
