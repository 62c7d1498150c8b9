"""BitPlan: the precision of every layer, with what is proven about it."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, Precision, Span
from hawqlang.diagnostics.model import Diagnostic

Status = Literal["optimal", "feasible", "infeasible", "unknown"]


class Change(Frozen):
    """A layer that has another precision in another allocation."""

    layer: str
    before: Precision
    after: Precision


class Excess(Frozen):
    """A constraint that a step would break, and by how much."""

    constraint: str
    amount: float | None
    """In base units; ``None`` where it is no single bound."""
    unit: Literal["B", "s", "MACs", "BOPS", "", "%"] = ""


class Why(Frozen):
    """Why a layer has its precision while everything else is as in the plan.

    ``only``: it has no other candidate. ``required``: the constraints leave it no other. ``free``: nothing wider is
    offered. ``bound``: the next wider candidate breaks the constraints of ``breaks``. ``goal``: it breaks nothing, and
    no goal gains by it. ``open``: it would be better, and the plan is not proven optimal or excludes it.
    """

    kind: Literal["only", "required", "free", "bound", "goal", "open"]
    text: str
    """In words."""
    step: Precision | None = None
    """The next wider candidate; for ``required`` the one that is nearest."""
    breaks: tuple[Excess, ...] = ()
    tied: tuple[str, ...] = ()
    """Layers that must have the same precision: they take the step together."""


class Price(Frozen):
    """What the best allocation with one layer at its next wider candidate would cost: solved again, not estimated."""

    precision: Precision
    goal: str
    """The first goal."""
    change: float | None
    """Of that goal, against its optimum; ``None``: no allocation has the layer at this precision."""
    bound: float | None
    """Proven: no allocation changes it less. Equal to ``change`` where that is exact."""
    metrics: tuple[tuple[str, float], ...] = ()
    """Change of every metric of the plan."""
    changes: tuple[Change, ...] = ()
    """The other layers that would have to change."""


class RunnerUp(Frozen):
    """The best allocation but one."""

    status: Literal["optimal", "feasible"]
    """``optimal``: only the plan is better."""
    objective: tuple[tuple[str, float], ...]
    """Change of every goal against the plan."""
    metrics: tuple[tuple[str, float], ...]
    changes: tuple[Change, ...]


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
    share: tuple[tuple[str, float], ...] = ()
    """Its part of the plan's ``size``, ``bops`` and ``latency``, from 0 to 1."""
    why: Why | None = None
    """Only where reasons were asked for; likewise the price."""
    price: Price | None = None


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
    excluded: int = 0
    """Allocations that failed an accuracy constraint and were excluded, each with everything below it: the status
    speaks of what is left."""
    latency_from: Literal["modelled", "measured", "profiled"] = "modelled"
    runner_up: RunnerUp | None = None
    """``None`` where it was not asked for, or there is no other allocation."""
    artifact_bytes: int | None = None
    """Packed weights, biases and scales as the back end lays them out; ``None`` where it was not asked for."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Why there is no allocation (errors), and what the reader should know (warnings)."""

    def changes_to(self, other: BitPlan) -> tuple[Change, ...]:
        """Return the layers that have another precision in another plan of the same network."""
        after = other.allocation()
        return tuple(
            Change(layer=one.name, before=one.precision, after=after[one.name])
            for one in self.layers
            if one.precision != after[one.name]
        )

    def allocation(self) -> dict[str, Precision]:
        """Return the precision of every layer, in execution order."""
        return {choice.name: choice.precision for choice in self.layers}

    def precision(self, layer: str) -> Precision:
        """Return the precision of the layer called ``layer``."""
        return next(choice.precision for choice in self.layers if choice.name == layer)
