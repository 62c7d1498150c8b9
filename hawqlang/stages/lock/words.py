"""Changes in words, as `plan`, `diff` and `--locked` print them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hawqlang import units
from hawqlang.ir.changes import Changes, FactChange, LayerChange, MetricChange

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNITS: Mapping[str, str] = {
    "size_bytes": "B",
    "peak_memory_bytes": "B",
    "bops": "BOPS",
    "macs": "MACs",
    "latency_us": "us",
    "accuracy": "%",
    "fp32_accuracy": "%",
    "agreement": "%",
}
_EFFECTS = ("constraint", "sensitivity", "latency", "latencies", "refused", "dyadic", "integer")
"""First words of the facts that follow from the inputs."""
_ABSENT = "–"


def layer_words(change: LayerChange) -> str:
    """Return ``layer3.0.conv1 w8a8 → w4a4, −0.2 % size``."""
    before, after = precision_words(change)
    return f"{change.layer} {before} → {after}{share_words(change)}"


def precision_words(change: LayerChange) -> tuple[str, str]:
    """Return both precisions, a dash where a side does not have the layer."""
    before = _ABSENT if change.before is None else str(change.before)
    after = _ABSENT if change.after is None else str(change.after)
    return before, after


def share_words(change: LayerChange) -> str:
    """Return ``, −0.2 % size``; nothing where the size stays."""
    return f", {percent_words(change.size_share)} size" if change.size_bytes else ""


def percent_words(share: float) -> str:
    """Return a relative change with its sign: ``−0.2 %``, to two significant digits below 1 %."""
    percent = 100 * share
    digits = f"{percent:+.1f}" if abs(percent) >= 0.1 else f"{percent:+.2g}"
    return digits.replace("-", "−") + " %"


def metric_words(change: MetricChange) -> tuple[str, str, str, str]:
    """Return both values, the difference and the difference relative to the first, in the metric's unit."""
    before, after = _value(change.name, change.before), _value(change.name, change.after)
    if change.before is None or change.after is None:
        return before, after, "", ""
    difference = change.after - change.before
    if not difference:
        return before, after, "", ""
    if _UNITS.get(change.name) == "%":
        return before, after, f"{100 * difference:+.2f} points".replace("-", "−"), ""
    sign = "+" if difference > 0 else "−"
    relative = percent_words(difference / abs(change.before)) if change.before else ""
    return before, after, sign + _value(change.name, abs(difference)), relative


def metric_line(change: MetricChange) -> str:
    """Return ``size 50.64 KiB → 50.10 KiB (−1.1 %)``."""
    before, after, difference, relative = metric_words(change)
    return f"{metric_name(change.name)} {before} → {after} ({relative or difference})"


def metric_name(key: str) -> str:
    """Return a metric's name without its unit."""
    return key.removesuffix("_bytes").removesuffix("_us").replace("_", " ")


def fact_words(change: FactChange) -> str:
    """Return what became of an input, a setting, a version or a digest."""
    before, after = change.before, change.after
    if before is None:
        return f"{change.name}: {_shown(after or '')} is new"
    if after is None:
        return f"{change.name}: no longer there"
    return f"{change.name}: {_shown(before)} → {_shown(after)}"


def since(changes: Changes) -> Iterator[str]:
    """Yield a line per layer and per metric that changed."""
    yield from (layer_words(change) for change in changes.layers)
    yield from (metric_line(change) for change in changes.metrics if change.moved())


def differences(changes: Changes) -> Iterator[str]:
    """Yield everything that differs, the causes first."""
    yield from (fact_words(change) for change in sorted(changes.facts, key=_rank))
    yield from since(changes)


def _rank(change: FactChange) -> int:
    """Return how far from the cause a fact is: settings, then files, then what follows from them."""
    word = change.name.partition(" ")[0]
    return {"--set": 0, "version": 1, "resolved": 3}.get(word, 4 if word in _EFFECTS else 2)


def _shown(text: str) -> str:
    return text[:12] + "…" if _DIGEST.fullmatch(text) else text


def _value(name: str, value: float | None) -> str:
    if value is None:
        return _ABSENT
    unit = _UNITS.get(name, "")
    if unit == "us":
        return units.duration(value / 1e6)
    return units.quantity(value, unit)
