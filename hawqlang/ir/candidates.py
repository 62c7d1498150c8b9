"""CandidateTable: what each layer may take, and what each of its precisions costs, exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field

from hawqlang.base import Frozen, Precision, Span
from hawqlang.diagnostics.model import Diagnostic
from hawqlang.ir.spec import ActivationSettings, Finetune, WeightSettings


class LayerSettings(Frozen):
    """What holds for one layer once every ``layer`` block is applied; of several the last wins."""

    layer: str
    precision: tuple[Precision, ...]
    """In the order written, without repetitions."""
    weights: WeightSettings = WeightSettings()
    activations: ActivationSettings = ActivationSettings()
    """Of the tensor that the layer reads."""
    accumulator: Literal["int32", "int24", "int16"] = "int32"
    bias_correction: bool = True
    finetune: Finetune | None = None
    seed: int = 0
    """Of what is random in the layer: stochastic rounding. 0 where nothing is."""
    rules: tuple[tuple[str, Span], ...] = Field(default=(), exclude=True, repr=False)
    """Per key that a ``layer`` block set, the block that did: ``("precision", span)``. No digest sees it: where a
    block stands in the spec changes nothing that is measured under it."""

    @property
    def candidates(self) -> tuple[Precision, ...]:
        """Return the precisions the layer may take."""
        return self.precision

    def rule(self, key: str) -> Span | None:
        """Return the ``layer`` block that set ``key``; ``None``: the build's own setting stands."""
        return next((span for name, span in self.rules if name == key), None)


class Candidate(Frozen):
    """One precision a layer may take. All numbers are exact."""

    precision: Precision
    size_bits: int
    """``params · wbits``."""
    bops: int
    """``macs · wbits · abits`` for one sample."""
    macs: int
    latency: Fraction | None
    """Seconds for the target's batch; ``None`` where neither table nor device can say."""
    latency_source: Literal["table", "profile", "modelled", "unknown"]
    perturbation: Fraction | None
    """Predicted loss increase; ``None`` where it was not computed."""


class LayerCandidates(Frozen):
    """The candidates of one layer."""

    layer: str
    candidates: tuple[Candidate, ...]
    """At least one, in the order written."""
    dropped: tuple[tuple[Precision, str], ...] = ()
    """Precisions that the spec offers and that are not legal here, with the reason."""
    rule: Span | None = None
    """The ``layer`` block that set the list; ``None`` where it is the build's own."""
    perturbations: tuple[tuple[Precision, Fraction], ...] = ()
    """Every sensitivity known, also of precisions the layer may not take (for baselines)."""
    latencies: tuple[tuple[Precision, Fraction], ...] = ()
    """Every latency that a table or profile gives, in seconds, likewise."""

    def precisions(self) -> tuple[Precision, ...]:
        """Return the precisions the layer may take, in the order written."""
        return tuple(candidate.precision for candidate in self.candidates)

    def at(self, precision: Precision) -> Candidate:
        """Return the candidate of that precision."""
        return next(c for c in self.candidates if c.precision == precision)


class CandidateTable(Frozen):
    """The candidates of every layer, in execution order."""

    layers: tuple[LayerCandidates, ...]
    measured: bool
    """Whether sensitivities were at hand: without them ``perturbation`` is unknown."""
    timed: bool = True
    """Whether latencies were at hand that the target wants measured: without them ``latency`` is unknown."""
    warnings: tuple[Diagnostic, ...] = ()
    """One per candidate that was dropped."""
    notes: tuple[str, ...] = ()

    def layer(self, name: str) -> LayerCandidates:
        """Return the candidates of the layer called ``name``."""
        return next(layer for layer in self.layers if layer.layer == name)
