"""Weights whose sums fit a narrow accumulator, before, during and after training.

A sum over any inputs in any order stays within ``P`` bits where, in every output channel (A2Q, arXiv 2308.13504),

    ||q||_1 · max|x| <= 2^(P-1) - 1,

with ``q`` the integers that are multiplied: ``k·n`` where weights are grouped or affine.

Three things bring a channel there. In the beginning its step is the one at which the nearest integers inside the bound
are nearest to the weight: smaller steps lose the length of the channel, larger ones its small weights. What is too
long is projected onto the L1 ball in every pass, so that what is trained is always what may be deployed. A range
factor ``a`` of the whole layer enlarges all steps while the projection takes more than half of some channels (Xie et
al., "Overflow-aware Quantization", 2020):

    N > 0:  a += min(r · log(1 + N/channels), r_max),      N = 0:  a -= r_fall,  a >= 0

with ``N`` the channels that lose so much. They are counted instead of the overflows of a batch, for the certificate
decides.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from hawqlang.stages.finetune.quantizers import LearnedStep
from hawqlang.stages.quantize import QuantizedWeight

TOO_LONG = 3.0
"""Length in units of the bound at which a channel counts for the range factor."""

FACTORS = tuple(math.exp(k / 10) for k in range(-16, 7))
"""Steps that are tried first, in units of the one at which a channel of real weights just fits."""

RATE = 0.02
LARGEST_RATE = 0.01
FALL = 0.002
"""Of the range factor, a logarithm, in a step."""


class BoundedStep(LearnedStep):
    """A learned step under a bound of each channel's sum of magnitudes."""

    def __init__(
        self, start: torch.Tensor, given: QuantizedWeight, limit: int, longest: int
    ) -> None:
        """Begin as :class:`LearnedStep` does, at the steps that lose least inside the bound.

        Args:
            start: The real weight ``(OC, ...)``.
            given: Its integers and scales, which are kept where they fit the bound best.
            limit: Largest magnitude of an integer.
            longest: Largest sum of a channel's magnitudes.
        """
        super().__init__(start, given, limit)
        self._longest = longest
        self._range_factor = torch.zeros((1,), dtype=start.dtype)
        self._choose(start.flatten(1).abs().sum(1) / max(longest, 1))
        self.shortened = not np.array_equal(self.exported().q, given.q)
        """Whether the integers are others than those given."""

    def _choose(self, fitting: torch.Tensor) -> None:
        """Take the best of the steps given and of multiples of those at which real weights just fit ``(OC,)``."""
        with torch.no_grad():
            best, least = self.step().clone(), self._lost()
            for factor in FACTORS:
                step = (fitting * factor).clamp(min=1e-12)
                self._log_step.copy_((step.max() if self._shared else step).log())
                lost = self._lost()
                better = lost < least
                best, least = (
                    torch.where(better, self.step(), best),
                    torch.where(better, lost, least),
                )
            self._log_step.copy_((best[:1] if self._shared else best).log())

    def _lost(self) -> torch.Tensor:
        """Return the squared error of each channel ``(OC,)``, or of all together where they share a step."""
        error = (self.real() - self._master).square().flatten(1).sum(1)
        return error.sum().expand(self._channels) if self._shared else error

    @property
    def range_factor(self) -> float:
        """Return the logarithm of the range factor."""
        return float(self._range_factor)

    def steps(self) -> list[torch.Tensor]:
        """Return the logarithms of the steps, and the range factor, which has a rule of its own."""
        return [*super().steps(), self._range_factor]

    def step(self) -> torch.Tensor:
        """Return the scale of each output channel ``(OC,)``."""
        return super().step() * self._range_factor.to(self._log_step.device).exp()

    def advance(self, share: float) -> None:
        """Move the range factor by how many channels are much too long without projection."""
        del share
        with torch.no_grad():
            lengths = (self._whole().round().abs() * self._multiple).flatten(1).sum(1)
            over = float((lengths > TOO_LONG * self._longest).double().mean())
            move = min(RATE * math.log1p(over), LARGEST_RATE) if over > 0 else -FALL
            self._range_factor.add_(move).clamp_(min=0.0)

    def _rounded(self, whole: torch.Tensor) -> torch.Tensor:
        """Return the integers nearest to the projection of each channel onto its L1 ball, inside it."""
        return projected(whole.detach(), self._longest, self._multiple)


def projected(
    weight: torch.Tensor, longest: int, multiple: torch.Tensor | None = None
) -> torch.Tensor:
    """Return integers near ``weight`` ``(OC, ...)`` with ``Σ k·|q| <= longest`` in every channel.

    Real weights are projected (Duchi et al., "Efficient Projections onto the l1-Ball", 2008) and rounded to nearest;
    where that makes a channel too long again, those that were rounded up furthest are rounded down instead, which
    always suffices.

    Args:
        weight: In steps.
        longest: Largest length of a channel.
        multiple: ``k``, whole, broadcasts against the weight; 1 by default.
    """
    rows = weight.flatten(1)
    unit = rows.new_ones(()) if multiple is None else multiple
    unit = unit.broadcast_to(weight.shape).flatten(1)
    shorter = _onto_ball(rows.abs() * unit, longest) / unit
    magnitude = shorter.round()
    excess = (magnitude * unit).sum(1) - longest
    order = (magnitude - shorter).sort(dim=1, descending=True, stable=True).indices
    sizes = unit.gather(1, order)
    down = (sizes.cumsum(1) - sizes < excess[:, None]).to(magnitude)  # in that order
    magnitude = magnitude - torch.zeros_like(magnitude).scatter_(1, order, down)
    return (magnitude * rows.sign()).reshape(weight.shape)


def _onto_ball(magnitude: torch.Tensor, radius: int) -> torch.Tensor:
    """Return each row's nearest point of length at most ``radius``."""
    ordered = magnitude.sort(1, descending=True).values
    count = torch.arange(1, magnitude.shape[1] + 1, device=magnitude.device)
    reached = ordered.cumsum(1)
    inside = (ordered * count > reached - radius).sum(1, keepdim=True).clamp(min=1)
    threshold = (reached.gather(1, inside - 1) - radius) / inside
    return (magnitude - threshold.clamp(min=0)).clamp(min=0)
