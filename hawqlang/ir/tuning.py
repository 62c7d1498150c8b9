"""Tuning: what changes in the float network before it is lowered."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, TensorRef
from hawqlang.ir.ranges import TensorRange

Correction = Literal[
    "bias", "rounding", "scales", "refit", "sums", "equalized", "reconstructed", "distilled"
]
"""A step that may change a layer; ``sums`` is what it aims at rather than a step of its own."""


class LayerBias(Frozen):
    """The bias that a layer is deployed with."""

    layer: str
    bias: TensorRef
    """float64 ``(OC,)``."""


class LayerWeight(Frozen):
    """The integer weight that a layer is deployed with, where it is not its own rounded to nearest."""

    layer: str
    q: TensorRef
    """int8, beyond 8 bits int16, as the graph's weight is laid out."""
    scale: TensorRef
    """float64 ``(OC,)``."""
    zero: TensorRef | None = None
    """int64 ``(OC, groups)``: zero points of an affine weight."""
    multiple: TensorRef | None = None
    """int64 ``(OC, groups)``: the scale of each group in units of its channel's."""
    group: int = 0
    """Input channels per group; 0 without groups."""


class FittedLayer(Frozen):
    """What a fit made of one layer, and what that is worth on samples it was not fitted on."""

    layer: str
    weight: LayerWeight | None
    bias: LayerBias | None
    kept: tuple[Correction, ...]
    """The corrections that lowered the error of the layer's output, in the order they were made."""
    error_before: float
    """Mean squared error of the layer's output on held-out samples, relative to the output's variance, rounded to
    nearest with its own bias; its input is what the corrected layers before it give."""
    error_after: float


class FittedBlock(Frozen):
    """What gradient reconstruction made of the layers between two cuts of the network."""

    layers: tuple[FittedLayer, ...]
    """All of its layers; empty where held-out samples did not confirm it."""
    ranges: tuple[TensorRange, ...]
    """Of tensors stored inside whose step was learned."""
    error_before: float
    """Mean squared error of the block's output on held-out samples, relative to its power."""
    error_after: float


class Trial(Frozen):
    """A set of corrections that was tried on the whole network."""

    corrections: tuple[Correction, ...]
    """Empty: rounded to nearest with its own biases."""
    error: float
    """Mean Kullback-Leibler divergence of the held-out samples' classes from the float network's, in nats."""
    kept: bool


class FineTuning(Frozen):
    """What training made of the network, and what that is worth on samples it was not trained on."""

    method: Literal["qat", "overflow_aware", "mean_field"]
    epochs: int
    best: int
    """The epoch after which the network is deployed, from 1; 0: as it was before."""
    distilled: bool
    synthetic: bool
    """Whether the samples were made from the network itself."""
    trained: int
    """Samples; every one of them once an epoch."""
    held_out: int
    errors: tuple[float, ...]
    """Loss on the held-out samples as deployed: before training, then after each epoch; fewer epochs where training
    diverged."""
    kept: bool
    layers: int
    """Layers whose weights were trained."""


class Tuning(Frozen):
    """What the network is deployed with where it differs from plain rounding, and what that is worth."""

    biases: tuple[LayerBias, ...] = ()
    """Only of layers that change; empty where the correction was dropped."""
    weights: tuple[LayerWeight, ...] = ()
    """Likewise."""
    ranges: tuple[TensorRange, ...] = ()
    """Of stored tensors whose step was learned, instead of the calibrated ones."""
    kept: bool = False
    error_before: float | None = None
    """Error of the held-out samples' logits without any correction. Where biases alone are corrected: mean squared
    error relative to the logits' variance, else the divergence of :class:`Trial`."""
    error_after: float | None = None
    """The same with the correction, whether it was kept or not; ``None``: nothing was tried."""
    fitted: int = 0
    """Samples that the corrections were fitted on."""
    held_out: int = 0
    """Samples that both errors were measured on."""
    pooled: bool = False
    """Whether the network is deployed with a last fit on the held-out samples as well; errors are of the one before."""
    layers: tuple[FittedLayer, ...] = ()
    """What became of each layer in the attempt that was kept; empty where biases alone were corrected."""
    trials: tuple[Trial, ...] = ()
    """Everything that was tried on the whole network, in order."""
    training: FineTuning | None = None
    """Where a layer asked for it."""
