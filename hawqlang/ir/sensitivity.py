"""SensitivityTable: predicted loss increase per layer and candidate precision."""

from __future__ import annotations

from hawqlang.base import Frozen, Precision


class LayerSensitivity(Frozen):
    """What quantizing one layer alone is expected to cost."""

    layer: str
    values: tuple[tuple[Precision, float], ...]
    """One per candidate; dimensionless, at least 0."""
    weight_trace: float | None = None
    """Mean diagonal of the loss Hessian in the weights (trace / n), by Hutchinson."""
    weight_trace_stderr: float | None = None
    activation_trace: float | None = None
    """The same in the layer's input."""
    activation_trace_stderr: float | None = None


class SensitivityTable(Frozen):
    """Sensitivities of one model."""

    method: str
    layers: tuple[LayerSensitivity, ...]
    probes: int | None = None
    converged: bool | None = None
    """Whether the declared tolerance was met before the probes ran out."""
    labels: bool | None = None
    """``False``: the loss was taken against the model's own top-1; ``None``: labels do not enter."""
    samples: int | None = None
    """How many samples were looked at."""
    seed: int | None = None
    """Of what is random; ``None`` where nothing is."""
    raised: tuple[str, ...] = ()
    """Layers of which a candidate lowered the loss: those count 0."""
