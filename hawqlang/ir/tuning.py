"""Tuning: what changes in the float network before it is lowered."""

from __future__ import annotations

from hawqlang.base import Frozen, TensorRef


class LayerBias(Frozen):
    """The bias that a layer is deployed with."""

    layer: str
    bias: TensorRef
    """float64 ``(OC,)``."""


class Tuning(Frozen):
    """Corrected biases of one plan, and what they are worth on samples they were not fitted on."""

    biases: tuple[LayerBias, ...] = ()
    """Only of layers that change; empty where the correction was dropped."""
    kept: bool = False
    error_before: float | None = None
    """Mean squared error of the logits against the float network's, relative to their variance."""
    error_after: float | None = None
    """The same with the correction, whether it was kept or not; ``None``: nothing was tried."""
    fitted: int = 0
    """Samples that the biases were fitted on."""
    held_out: int = 0
    """Samples that both errors were measured on."""
