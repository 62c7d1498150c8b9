"""The loss that synthetic samples are made to lower.

    L = mean over layers of  mean_c g_c · ((mu_c - beta_c)^2 + (sigma_c - gamma_c)^2) / (gamma_c^2 + e)
        + w_class · CE(f(x), y) + w_smooth · TV(x)

``mu_c`` and ``sigma_c`` are taken over the samples of a batch and all positions; ``beta_c`` and ``gamma_c`` are what
the layer's batch norm remembers (He et al., "Generative Zero-shot Network Quantization", 2021; Cai et al., "ZeroQ",
2020). ``g_c`` is a random gate that leaves out part of the channels in every step, so that no channel is matched to
the last digit at the cost of what the images look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model.statistics import ChannelStatistics
from hawqlang.stages.zero_shot.codes import Codes

CLASS_WEIGHT = 0.1
SMOOTH_WEIGHT = 0.01
GATE = 0.8
"""Probability that a channel counts in a step."""

FLOOR = 0.01
"""Added to a channel's variance, as a share of its layer's mean variance: dead channels must not rule."""


@dataclass(frozen=True, slots=True)
class _Target:
    mean: torch.Tensor
    deviation: torch.Tensor
    weight: torch.Tensor


class Matching:
    """Compares batches of codes with what a network's batch norms remember."""

    def __init__(
        self, model: FloatModel, statistics: Sequence[ChannelStatistics], codes: Codes
    ) -> None:
        self._model = model
        self._codes = codes
        self._targets: dict[str, _Target] = {}
        for row in statistics:
            mean, deviation = (torch.from_numpy(x).float() for x in (row.mean, row.deviation))
            variance = deviation.square()
            weight = 1 / (variance + FLOOR * variance.mean() + 1e-12)
            self._targets[row.value] = _Target(mean, deviation, weight)

    def loss(
        self, codes: torch.Tensor, classes: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the loss of a batch of codes ``(N, ...)``, made to be of ``classes`` ``(N,)``."""
        run = self._model.run(self._codes.seen(codes), keep=self._targets)
        terms = [
            (_gate(target.mean, generator) * _distance(run.kept[name], target)).mean()
            for name, target in self._targets.items()
        ]
        loss = torch.stack(terms).mean() + SMOOTH_WEIGHT * roughness(codes)
        if run.output.shape[1] > 1:
            loss = loss + CLASS_WEIGHT * F.cross_entropy(run.output, classes)
        return loss

    def mismatch(self, codes: torch.Tensor) -> float:
        """Return the first term of the loss alone, every channel counted."""
        with torch.no_grad():
            kept = self._model.run(self._codes.seen(codes), keep=self._targets).kept
            terms = [_distance(kept[name], target).mean() for name, target in self._targets.items()]
            return float(torch.stack(terms).mean())


def _distance(x: torch.Tensor, target: _Target) -> torch.Tensor:
    """Return each channel's squared distance from its statistics, relative to its variance."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x, axes, correction=0)
    deviation = (variance + 1e-12).sqrt()
    return ((mean - target.mean).square() + (deviation - target.deviation).square()) * target.weight


def _gate(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(like.shape, generator=generator) < GATE).to(like.dtype) / GATE


def roughness(codes: torch.Tensor) -> torch.Tensor:
    """Return the mean squared step between neighbours, in units of 64 codes; 0 of what is no map."""
    if codes.ndim != 4:
        return codes.new_zeros(())
    scaled = codes / 64
    down = (scaled[:, :, 1:] - scaled[:, :, :-1]).square()
    across = (scaled[:, :, :, 1:] - scaled[:, :, :, :-1]).square()
    return sum((part.mean() for part in (down, across) if part.numel()), codes.new_zeros(()))
