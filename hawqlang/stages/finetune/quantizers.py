"""Weights that are trained through their rounding: each channel's step is learned, gradients pass straight through.

    q = clamp(round(V/s), ±(2^(b-1) - 1)),   dq/dV = 1/s inside the range, else 0

Esser et al., "Learned Step Size Quantization" (2020); steps are kept as logarithms, so they stay positive and one
learning rate suits them all.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from hawqlang.stages.finetune.straight import straight_through
from hawqlang.stages.quantize import QuantizedWeight


class WeightQuantizer(Protocol):
    """The weight of one layer in training."""

    factor: float
    """The rate at which :meth:`weights` learn, in units of that of float weights."""

    def weights(self) -> list[torch.Tensor]:
        """Return the leaves that learn at the rate of weights."""
        ...

    def steps(self) -> list[torch.Tensor]:
        """Return the leaves that learn at the rate of steps."""
        ...

    def step(self) -> torch.Tensor:
        """Return the scale of each output channel ``(OC,)``."""
        ...

    def real(self) -> torch.Tensor:
        """Return the real weight that the integers stand for, differentiable."""
        ...

    def exported(self) -> QuantizedWeight:
        """Return the integers and scales that are deployed."""
        ...

    def advance(self, share: float) -> None:
        """Prepare for the next step of a training of which ``share``, from 0 to 1, is done."""
        ...


class LearnedStep:
    """A uniform grid with a learned step for each output channel, or one for all."""

    factor = 1.0

    def __init__(self, start: torch.Tensor, given: QuantizedWeight, limit: int) -> None:
        """Begin where rounding ``start`` gives the integers of ``given``.

        Args:
            start: The real weight ``(OC, ...)``.
            given: Its integers and scales, which decide the steps at first.
            limit: Largest magnitude of an integer.
        """
        self._limit = limit
        scale = torch.from_numpy(np.array(given.scale)).to(start)
        self._shared = bool((scale == scale[0]).all())
        self._master = start.clone().requires_grad_()
        self._log_step = (scale[:1] if self._shared else scale).log().requires_grad_()
        self._channels = len(scale)
        self._rows = (-1, *[1] * (start.ndim - 1))

    def advance(self, share: float) -> None:
        """Do nothing: a learned step needs no schedule."""

    def weights(self) -> list[torch.Tensor]:
        """Return the float weight."""
        return [self._master]

    def steps(self) -> list[torch.Tensor]:
        """Return the logarithms of the steps."""
        return [self._log_step]

    def step(self) -> torch.Tensor:
        """Return the scale of each output channel ``(OC,)``."""
        return self._log_step.exp().expand(self._channels)

    def real(self) -> torch.Tensor:
        """Return the real weight that the integers stand for, differentiable."""
        whole = self._whole()
        return straight_through(whole, self._rounded(whole)) * self.step().reshape(self._rows)

    def exported(self) -> QuantizedWeight:
        """Return the integers and scales of :meth:`real`."""
        with torch.no_grad():
            whole = self._rounded(self._whole()).cpu().numpy()
            scale = self.step().double().cpu().numpy().copy()
        q = whole.astype(np.int8) if self._limit < 128 else whole.astype(np.int16)
        return QuantizedWeight(q, scale)

    def _whole(self) -> torch.Tensor:
        """Return the weight in steps, inside the grid, not rounded yet."""
        return (self._master / self.step().reshape(self._rows)).clamp(-self._limit, self._limit)

    def _rounded(self, whole: torch.Tensor) -> torch.Tensor:
        """Return integers for a weight in steps; nothing is differentiated here."""
        return whole.detach().round()
