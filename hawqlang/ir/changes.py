"""Changes: how two allocations differ, whatever they were read from."""

from __future__ import annotations

from hawqlang.base import Frozen, Precision


class Standing(Frozen):
    """An allocation and what is known of it."""

    layers: tuple[tuple[str, Precision, int], ...]
    """Name, precision and number of weights, in execution order."""
    metrics: tuple[tuple[str, float], ...]
    """As in a plan, then ``accuracy``, ``fp32_accuracy`` and ``agreement`` where known."""
    facts: tuple[tuple[str, str], ...] = ()
    """Everything else that can be compared, by name: inputs, settings, versions, digests."""
    whole: bool = True
    """Whether ``facts`` are all there are: else only those that both sides know can be compared."""


class LayerChange(Frozen):
    """A layer whose precision differs; ``None`` where one side does not have it."""

    layer: str
    before: Precision | None
    after: Precision | None
    size_bytes: float
    """What the change adds to the size of the weights."""
    size_share: float
    """The same as a share of the whole size before."""


class MetricChange(Frozen):
    """A metric on both sides; ``None`` where it is not known."""

    name: str
    before: float | None
    after: float | None

    def moved(self) -> bool:
        """Return whether both are known and differ."""
        return None not in (self.before, self.after) and self.before != self.after


class FactChange(Frozen):
    """Something else that differs; ``None`` where one side does not have it."""

    name: str
    before: str | None
    after: str | None


class Changes(Frozen):
    """Everything that differs between two standings of one build."""

    build: str
    layers: tuple[LayerChange, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    """All that either side knows, equal ones included."""
    facts: tuple[FactChange, ...] = ()

    def none(self) -> bool:
        """Return whether the two are the same."""
        return not (self.layers or self.facts or any(m.moved() for m in self.metrics))
