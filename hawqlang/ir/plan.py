"""BitPlan: the precision of every layer, with what is proven about it."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, Precision, Span
from hawqlang.diagnostics.model import Diagnostic

Status = Literal["optimal", "feasible", "infeasible", "unknown"]


class LayerChoice(Frozen):
    """One layer's row in the plan."""

    name: str
    kind: str
    precision: Precision
    candidates: tuple[Precision, ...]
    params: int
    macs: int
    sensitivity: tuple[tuple[Precision, float], ...]
    latency_us: tuple[tuple[Precision, float], ...]
    dropped: tuple[tuple[Precision, str], ...] = ()
    """Candidates that were not legal, with the reason."""
    rule: Span | None = None
    """The ``layer`` block that set the candidates; ``None`` where the build's own list stands."""


class ConstraintResult(Frozen):
    """How a constraint stands in the plan. Numbers in base units; ``None`` for a logical one."""

    name: str
    text: str
    value: float | None
    bound: float | None
    slack: float | None
    holds: bool | None = True
    """``None``: decided at build (the accuracies)."""
    unit: Literal["B", "s", "MACs", "BOPS", "", "%"] = ""


class ConflictMember(Frozen):
    """A constraint of a minimal conflicting set."""

    name: str
    span: Span
    text: str


class Suggestion(Frozen):
    """The nearest value of a bound that would make the spec feasible."""

    constraint: str
    text: str
    """As a reader would write it: ``size <= 5.82 MiB``."""
    value: float


class BitPlan(Frozen):
    """Result of ``allocate``; ``layers`` is empty when nothing is feasible."""

    build: str
    status: Status
    gap: float | None
    """Proven relative distance from the optimum; 0 when optimal."""
    objective: tuple[tuple[str, float], ...]
    metrics: tuple[tuple[str, float], ...]
    """``size_bytes``, ``bops``, ``macs``, ``latency_us``, ``perturbation``, ``switches``,
    ``average_wbits``, …"""
    layers: tuple[LayerChoice, ...]
    constraints: tuple[ConstraintResult, ...]
    conflict: tuple[ConflictMember, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    notes: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    """Why there is no allocation (errors), and what the reader should know (warnings)."""

    def allocation(self) -> dict[str, Precision]:
        """Return the precision of every layer, in execution order."""
        return {choice.name: choice.precision for choice in self.layers}

    def precision(self, layer: str) -> Precision:
        """Return the precision of the layer called ``layer``."""
        return next(choice.precision for choice in self.layers if choice.name == layer)
