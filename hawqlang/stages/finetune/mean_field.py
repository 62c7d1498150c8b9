"""Weights that choose among a few levels: a distribution over the levels is trained, and grows certain.

    u = softmax(b · l),   w = s · Σ_k u_k Q_k,   b from 1 to 10^4 over the training;   deployed: s · Q_argmax

Ajanthan et al., "Proximal Mean-field for Neural Network Quantization" (2019). Levels are integers times one learned
step: binary ``{-1, 1}``, ternary, or any other set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hawqlang.stages.quantize import QuantizedWeight

SHARPEST = 1e4
CERTAIN_AT = 0.9
"""Share of the training after which the distributions are as certain as they get."""

WEIGHT = 0.5
"""How much a weight's distance from a level counts in the beginning; more, and it could not change its mind."""


class MeanField:
    """A weight over a set of levels."""

    factor = 100.0
    """A logarithm has further to go than a weight."""

    def __init__(self, start: torch.Tensor, levels: Sequence[int]) -> None:
        """Begin with every weight leaning towards the level nearest to it.

        Args:
            start: The real weight ``(OC, ...)``; its mean magnitude decides the steps at first.
            levels: Integers, at least two.
        """
        ordered = torch.tensor(sorted(levels), dtype=start.dtype)
        rows = start.flatten(1)
        mean = rows.abs().mean(1).clamp(min=1e-8 + 1e-3 * float(rows.abs().mean()))
        typical = float(ordered.abs().mean())
        self._levels = ordered
        self._log_step = (mean / typical).log().requires_grad_()
        self._rows = (-1, *[1] * (start.ndim - 1))
        whole = start / self.step().detach().reshape(self._rows)
        distance = whole.clamp(float(ordered[0]), float(ordered[-1]))[..., None] - ordered
        self._leaning = (-WEIGHT * distance.square()).requires_grad_()
        self._sharpness = 1.0

    def weights(self) -> list[torch.Tensor]:
        """Return the unscaled logarithms of the levels' probabilities."""
        return [self._leaning]

    def steps(self) -> list[torch.Tensor]:
        """Return the logarithms of the steps."""
        return [self._log_step]

    def step(self) -> torch.Tensor:
        """Return the scale of each output channel ``(OC,)``."""
        return self._log_step.exp()

    def real(self) -> torch.Tensor:
        """Return the mean weight, differentiable; it becomes the deployed one as certainty grows."""
        share = (self._sharpness * self._leaning).softmax(-1)
        levels = self._levels.to(share.device)
        return (share @ levels) * self.step().reshape(self._rows)

    def exported(self) -> QuantizedWeight:
        """Return the most probable levels and the scales."""
        with torch.no_grad():
            q = self._levels.to(self._leaning.device)[self._leaning.argmax(-1)].cpu().numpy()
            scale = self.step().double().cpu().numpy().copy()
        small = np.abs(q).max(initial=0) < 128
        return QuantizedWeight(q.astype(np.int8) if small else q.astype(np.int16), scale)

    def advance(self, share: float) -> None:
        """Sharpen the distributions, slowly at first: most of the deciding is done while gradients are large."""
        self._sharpness = SHARPEST ** min(1.0, (share / CERTAIN_AT) ** 2)


def level_bits(levels: Sequence[int]) -> int:
    """Return the fewest weight bits that hold all levels; 1 for ``{-1, 1}`` alone."""
    if set(levels) == {-1, 1}:
        return 1
    return max(1, *(abs(level) for level in levels)).bit_length() + 1
