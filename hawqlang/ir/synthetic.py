"""Synthetic: samples that were made from a network instead of being read."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, TensorRef


class Synthetic(Frozen):
    """Samples made to have the statistics that a network's batch norms remember."""

    images: TensorRef
    """uint8 as samples are read: ``(N, H, W, C)`` RGB pixels, or codes of a tensor input."""
    classes: TensorRef
    """int64 ``(N,)``: the class each was made for."""
    method: Literal["generator", "direct"]
    """Whether a generator's images were refined, or noise."""
    steps: int
    norms: int
    """Batch norms whose statistics were matched."""
    mismatch: float
    """Mean squared distance from the statistics, relative to each channel's variance."""
    noise: float
    """The same of noise."""
