"""Two sides to what differs between them, build by build, and that as the JSON scripts rely on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.changes import Changes
from hawqlang.stages.diff.sides import Side
from hawqlang.stages.diff.statements import Statements, differences
from hawqlang.stages.lock.changes import compare

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Restated:
    """The statements of a build's spec that only one side has."""

    build: str
    """Empty for what belongs to the whole file."""
    removed: Statements
    added: Statements


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything ``hawqc diff`` shows."""

    before: Side
    after: Side
    removed: tuple[str, ...]
    """Builds that only the first side has."""
    added: tuple[str, ...]
    builds: tuple[Changes, ...]
    """Per build whose allocation both sides know."""
    spec: tuple[Restated, ...]
    notes: tuple[str, ...]

    def none(self) -> bool:
        """Return whether nothing differs."""
        moved = any(not changes.none() for changes in self.builds)
        return not (self.removed or self.added or self.spec or moved)


def difference(before: Side, after: Side) -> Difference:
    """Return what differs between two sides.

    Builds are compared by name; where both sides have just one, these two, whatever they are called.

    Raises:
        HawqError: There is nothing that both sides know (HQ869).
    """
    pairs = _pairs(before.standings, after.standings)
    texts = _texts(before, after)
    if not pairs and texts is None:
        raise HawqError(_incomparable(before, after))
    notes = [*before.notes, *after.notes]
    if not pairs:
        bare = [side.label for side in (before, after) if not side.standings]
        notes += [f"{label}: no allocation is known, the specs are compared" for label in bare]
    builds = tuple(
        compare(_title(one, other), before.standings[one], after.standings[other])
        for one, other in pairs
    )
    first, second = _names(before), _names(after)
    paired = {one for one, _ in pairs}, {other for _, other in pairs}
    alone = len(first) == len(second) == 1
    return Difference(
        before=before,
        after=after,
        removed=() if alone else tuple(n for n in first if n not in second and n not in paired[0]),
        added=() if alone else tuple(n for n in second if n not in first and n not in paired[1]),
        builds=builds,
        spec=texts or (),
        notes=tuple(dict.fromkeys(notes)),
    )


def difference_json(found: Difference) -> dict[str, Any]:
    """Return the stable keys of ``hawqc diff --format json``."""
    return {
        "format_version": FORMAT_VERSION,
        "a": {"kind": found.before.kind, "name": found.before.label},
        "b": {"kind": found.after.kind, "name": found.after.label},
        "changed": [row for changes in found.builds for row in changed_json(changes)],
        "metrics": {changes.build: metrics_json(changes) for changes in found.builds},
        "inputs": [row for changes in found.builds for row in facts_json(changes)],
        "spec": [
            {"build": one.build or None, "removed": list(one.removed), "added": list(one.added)}
            for one in found.spec
        ],
        "builds": {"removed": list(found.removed), "added": list(found.added)},
        "notes": list(found.notes),
    }


def changed_json(changes: Changes) -> list[dict[str, Any]]:
    """Return the layers whose precision differs."""
    return [
        {
            "build": changes.build,
            "layer": one.layer,
            "before": None if one.before is None else str(one.before),
            "after": None if one.after is None else str(one.after),
            "size_bytes": one.size_bytes,
            "size_percent": 100 * one.size_share,
        }
        for one in changes.layers
    ]


def metrics_json(changes: Changes) -> dict[str, Any]:
    """Return every metric on both sides, with the difference."""
    return {
        one.name: {
            "before": one.before,
            "after": one.after,
            "difference": _difference(one.before, one.after),
            "percent": _percent(one.before, one.after),
        }
        for one in changes.metrics
    }


def facts_json(changes: Changes) -> list[dict[str, Any]]:
    """Return the inputs, settings, versions and digests that differ."""
    return [
        {"build": changes.build, "name": one.name, "before": one.before, "after": one.after}
        for one in changes.facts
    ]


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _percent(before: float | None, after: float | None) -> float | None:
    if not before or after is None:
        return None
    percent = 100 * ((after - before) / abs(before))
    return percent if math.isfinite(percent) else None


def _pairs(before: Iterable[str], after: Iterable[str]) -> list[tuple[str, str]]:
    """Return the builds to compare, by their names on both sides."""
    first, second = list(before), list(after)
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    return [(name, name) for name in first if name in second]


def _title(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _names(side: Side) -> list[str]:
    """Return the builds of a side: what the spec declares, else those it has an allocation of."""
    declared: Mapping[str, object] = side.standings if side.statements is None else side.statements
    return [name for name in declared if name]


def _texts(before: Side, after: Side) -> tuple[Restated, ...] | None:
    """Return what the specs say differently; ``None`` where the sides are not specs, or not both artifacts."""
    if before.statements is None or after.statements is None or before.kind != after.kind:
        return None
    one, other = before.statements, after.statements
    names = [name for name in one if not name and name in other]
    pairs = [*((n, n) for n in names), *_pairs(_named(one), _named(other))]
    rows = [Restated(_title(a, b), *differences(one[a], other[b])) for a, b in pairs]
    return tuple(row for row in rows if row.removed or row.added)


def _named(groups: Iterable[str]) -> Sequence[str]:
    return [name for name in groups if name]


def _incomparable(before: Side, after: Side) -> Diagnostic:
    bare = [f"'{side.label}' has no allocation" for side in (before, after) if not side.standings]
    why = " and ".join(bare) or "they have no build in common"
    return Diagnostic(
        code="HQ869",
        severity="error",
        message=f"'{before.label}' and '{after.label}' cannot be compared: {why}",
        help="build the spec, which keeps a lock beside it, or save a plan: `hawqc plan SPEC.hawq -o plan.json`",
    )
