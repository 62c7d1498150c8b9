"""Weights that are trained through their rounding: each channel's step is learned, gradients pass straight through.

    n = clamp(round(V/(s·k)), n_min, n_max),   w = s·k·n,   dn/dV = 1/(s·k) inside the range, else 0

Symmetric weights have ``k = 1`` and ``n`` within ``±(2^(b-1) - 1)``. Affine ones are ``n = q - z`` with codes ``q`` of
``b`` bits, so the range differs by channel; groups have a whole multiple ``k``. Zero points and multiples stay as they
were found. Esser et al., "Learned Step Size Quantization" (2020); steps are kept as logarithms, so they stay positive
and one learning rate suits them all.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from hawqlang.stages.finetune.straight import straight_through
from hawqlang.stages.quantize import Int64, QuantizedWeight, spread


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on a device, a leaf where it was one."""
    return tensor.detach().to(device).requires_grad_(tensor.requires_grad)


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

    def to(self, device: torch.device) -> None:
        """Move everything to a device; only before training begins."""
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

    def resize(self, by: torch.Tensor) -> None:
        """Multiply the weights of each channel ``(OC,)`` without another integer."""
        ...

    def advance(self, share: float) -> None:
        """Prepare for the next step of a training of which ``share``, from 0 to 1, is done."""
        ...


class Movable:
    """What has tensors as attributes."""

    def to(self, device: torch.device) -> None:
        """Move everything to a device; leaves are new tensors afterwards."""
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, moved(value, device))


class LearnedStep(Movable):
    """A uniform grid with a learned step for each output channel, or one for all."""

    factor = 1.0

    def __init__(self, start: torch.Tensor, given: QuantizedWeight, limit: int) -> None:
        """Begin where rounding ``start`` gives the integers of ``given``.

        Args:
            start: The real weight ``(OC, ...)``.
            given: Its integers and scales, which decide the steps at first; its zero points and multiples are kept.
            limit: Largest code; the smallest is ``-limit``, or ``-limit - 1`` where there are zero points.
        """
        self._given, self._limit = given, limit
        scale = torch.from_numpy(np.array(given.scale)).to(start)
        self._shared = bool((scale == scale[0]).all())
        self._master = start.clone().requires_grad_()
        self._log_step = (scale[:1] if self._shared else scale).log().requires_grad_()
        self._channels = len(scale)
        self._rows = (-1, *[1] * (start.ndim - 1))
        zero = 0 if given.zero is None else self._spread(given.zero, start)
        self._least = torch.as_tensor(-limit - (given.zero is not None) - zero).to(start)
        self._most = torch.as_tensor(limit - zero).to(start)
        own = given.multiple
        self._multiple = torch.ones(()).to(start) if own is None else self._spread(own, start)

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
        return straight_through(whole, self._rounded(whole)) * self._unit()

    def exported(self) -> QuantizedWeight:
        """Return the integers and scales of :meth:`real`."""
        given = self._given
        with torch.no_grad():
            whole = self._rounded(self._whole()).cpu().numpy().astype(np.int64)
            scale = self.step().double().cpu().numpy().copy()
        if given.zero is not None:
            whole += spread(given.zero, whole.shape, given.group)
        q = whole.astype(np.int8) if self._limit < 128 else whole.astype(np.int16)
        return QuantizedWeight(q, scale, given.zero, given.multiple, given.group)

    def resize(self, by: torch.Tensor) -> None:
        """Multiply the weights of each channel ``(OC,)`` without another integer; by the mean for a shared step."""
        with torch.no_grad():
            log = by.log().mean().expand(self._channels) if self._shared else by.log()
            self._log_step.add_(log[: len(self._log_step)])
            self._master.mul_(log.exp().reshape(self._rows))

    def _unit(self) -> torch.Tensor:
        """Return what one step of each weight is worth."""
        return self.step().reshape(self._rows) * self._multiple

    def _whole(self) -> torch.Tensor:
        """Return the weight in steps, inside the grid, not rounded yet."""
        return (self._master / self._unit()).clamp(self._least, self._most)

    def _rounded(self, whole: torch.Tensor) -> torch.Tensor:
        """Return integers for a weight in steps; nothing is differentiated here."""
        return whole.detach().round()

    def _spread(self, values: Int64, start: torch.Tensor) -> torch.Tensor:
        """Return values per channel and group as they broadcast against the weight."""
        return torch.from_numpy(spread(values, tuple(start.shape), self._given.group)).to(start)
