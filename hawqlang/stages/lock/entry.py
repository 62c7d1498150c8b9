"""Results to the entry of a lock, and the recorded sensitivities back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from hawqlang.base import Precision
from hawqlang.cache import digest
from hawqlang.ir.bundle import PROGRAM, Manifest, OpNumbers
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.lock import Entry, LockedConstraint, LockedLayer, Measured, Origin
from hawqlang.ir.plan import BitPlan, LayerChoice
from hawqlang.ir.sensitivity import LayerSensitivity, SensitivityTable
from hawqlang.ir.spec import Build, FileSensitivity


def planned(
    origin: Origin,
    plan: BitPlan,
    sensitivities: SensitivityTable | None,
    refused: Sequence[Mapping[str, Precision]] = (),
) -> Entry:
    """Return the entry of a plan that has an allocation.

    Args:
        origin: What it was made from.
        plan: The allocation and what is known of it.
        sensitivities: As measured; ``None`` for a layer table.
        refused: Allocations that were found not to be accurate enough before this one.
    """
    rows = {row.layer: row for row in sensitivities.layers} if sensitivities is not None else {}
    names = [choice.name for choice in plan.layers]
    layers = tuple(
        _own(choice) if sensitivities is None else _layer(choice, rows.get(choice.name))
        for choice in plan.layers
    )
    return Entry(
        origin=origin,
        measured=None if sensitivities is None else _measured(sensitivities, layers),
        layers=layers,
        refused=tuple(tuple(one[name] for name in names) for one in refused),
        status=plan.status,
        gap=plan.gap,
        objective=plan.objective,
        metrics=plan.metrics,
        constraints=tuple(
            LockedConstraint(name=c.name, text=c.text, value=c.value, bound=c.bound, unit=c.unit)
            for c in plan.constraints
        ),
    )


def built(entry: Entry, manifest: Manifest, evaluation: Evaluation | None) -> Entry:
    """Return the entry of a plan with what building it gave."""
    return entry.replace(
        evaluation=evaluation,
        dyadic=dyadic_digest(manifest.dyadic),
        program=program_digest(manifest),
    )


def dyadic_digest(numbers: Sequence[OpNumbers]) -> str:
    """Return the sha256 of the dyadic numbers of a program: one line per stored tensor."""
    lines = [f"{n.op} {n.tensor} {list(n.multiplier)} {list(n.shift)}\n" for n in numbers]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def program_digest(manifest: Manifest) -> str | None:
    """Return the sha256 of an artifact's integer program."""
    return next((file.sha256 for file in manifest.files if file.path == PROGRAM), None)


def recorded(entry: Entry | None, origin: Origin, build: Build) -> SensitivityTable | None:
    """Return the sensitivities that an entry records for a build, where they are still of it.

    They hold as long as model, weights, calibration data, the settings they depend on and the compiler are the same,
    whatever library or machine measured them. Those read from a file are read again: its content is an input.
    """
    if entry is None or entry.measured is None:
        return None
    if entry.origin.measured_from != origin.measured_from:
        return None
    if isinstance(build.sensitivity, FileSensitivity):
        return None
    rows = tuple(_sensitivity(layer) for layer in entry.layers if layer.sensitivity)
    known = entry.measured
    return SensitivityTable(
        method=known.method,
        layers=rows,
        probes=known.probes,
        converged=known.converged,
        labels=known.labels,
        samples=known.samples,
        seed=known.seed,
    )


def edited(entry: Entry | None) -> bool:
    """Return whether the sensitivities of an entry are not those that were recorded."""
    if entry is None or entry.measured is None or entry.measured.seal is None:
        return False
    return entry.measured.seal != _seal(entry.layers)


def _seal(layers: Sequence[LockedLayer]) -> str:
    """Return a digest of all that was measured on layers; their precisions are no part of it."""
    return digest(*(_sensitivity(layer) for layer in layers))


def _measured(table: SensitivityTable, layers: Sequence[LockedLayer]) -> Measured:
    return Measured(
        method=table.method,
        probes=table.probes,
        converged=table.converged,
        labels=table.labels,
        samples=table.samples,
        seed=table.seed,
        seal=_seal(layers),
    )


def _own(choice: LayerChoice) -> LockedLayer:
    """Return a layer with what its table says of it."""
    return LockedLayer(
        name=choice.name,
        precision=choice.precision,
        params=choice.params,
        sensitivity=choice.sensitivity,
    )


def _layer(choice: LayerChoice, row: LayerSensitivity | None) -> LockedLayer:
    """Return a layer with what was measured on it; nothing was where no layer has a choice."""
    layer = LockedLayer(name=choice.name, precision=choice.precision, params=choice.params)
    if row is None:
        return layer
    return layer.replace(
        sensitivity=row.values,
        weight_trace=row.weight_trace,
        weight_trace_stderr=row.weight_trace_stderr,
        activation_trace=row.activation_trace,
        activation_trace_stderr=row.activation_trace_stderr,
    )


def _sensitivity(layer: LockedLayer) -> LayerSensitivity:
    return LayerSensitivity(
        layer=layer.name,
        values=layer.sensitivity,
        weight_trace=layer.weight_trace,
        weight_trace_stderr=layer.weight_trace_stderr,
        activation_trace=layer.activation_trace,
        activation_trace_stderr=layer.activation_trace_stderr,
    )
