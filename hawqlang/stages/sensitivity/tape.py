"""A differentiable pass through the float network, and the square root of the loss's curvature in the logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.sensitivity.forward import run
from hawqlang.stages.structure import LayerNode


@dataclass(frozen=True, slots=True)
class Tape:
    """A differentiable pass over some samples."""

    logits: torch.Tensor
    reads: Mapping[str, torch.Tensor]
    """By layer, its input as this layer alone reads it."""
    results: Mapping[str, torch.Tensor]
    """By layer, its output."""
    taps: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """By layer, what its weight is multiplied with: filled on demand, the same for every probe."""


def record(model: FloatModel, x: torch.Tensor) -> Tape:
    """Return the pass of a batch."""
    reads: dict[str, torch.Tensor] = {}
    results: dict[str, torch.Tensor] = {}

    def read(node: LayerNode, v: torch.Tensor) -> torch.Tensor:
        # A view is a tensor of its own: its gradient is that of this one reader.
        reads[node.name] = v.view_as(v) if v.requires_grad else v.detach().requires_grad_()
        return reads[node.name]

    def wrote(node: LayerNode, v: torch.Tensor) -> torch.Tensor:
        results[node.name] = v
        return v

    with torch.enable_grad():
        return Tape(run(model, x, read=read, wrote=wrote), reads, results)


def half_curvature(p: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Return ``B z`` with ``B B' = diag(p) - p p'``, the curvature of cross entropy in the logits.

    Args:
        p: Class probabilities ``(N, C)``.
        z: One row per sample, ``(N, C)``.
    """
    root = p.sqrt() * z
    return root - p * root.sum(1, keepdim=True)
