"""Results to the entry of a lock, and the recorded sensitivities back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from hawqlang.base import Precision
from hawqlang.cache import digest
from hawqlang.ir.bundle import PROGRAM, Manifest, OpNumbers
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.lock import (
    Entry,
    LockedConstraint,
    LockedLayer,
    Measured,
    Origin,
    Timed,
    parse_precision,
)
from hawqlang.ir.plan import BitPlan, LayerChoice
from hawqlang.ir.profile import Profile, ProfiledLayer
from hawqlang.ir.sensitivity import LayerSensitivity, SensitivityTable
from hawqlang.ir.spec import Build, FileSensitivity


def planned(
    origin: Origin,
    plan: BitPlan,
    sensitivities: SensitivityTable | None,
    refused: Sequence[Mapping[str, Precision]] = (),
    profile: Profile | None = None,
) -> Entry:
    """Return the entry of a plan that has an allocation.

    Args:
        origin: What it was made from.
        plan: The allocation and what is known of it.
        sensitivities: As measured; ``None`` for a layer table.
        refused: Allocations that were found not to be accurate enough before this one.
        profile: Latencies, where they are measured.
    """
    rows = {row.layer: row for row in sensitivities.layers} if sensitivities is not None else {}
    names = [choice.name for choice in plan.layers]
    layers = tuple(
        _own(choice) if sensitivities is None else _layer(choice, rows.get(choice.name))
        for choice in plan.layers
    )
    if profile is not None:
        layers = _with_latencies(layers, profile)
    return Entry(
        origin=origin,
        measured=None if sensitivities is None else _measured(sensitivities, layers),
        timed=None if profile is None else _timed(profile, layers),
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


def recorded_latencies(entry: Entry | None, origin: Origin, build: Build) -> Profile | None:
    """Return the latencies that an entry records for a build, where they are still of it.

    They hold as sensitivities do, for the same batch and number of threads, whatever machine measured them.
    """
    if entry is None or entry.timed is None or build.target.latency != "measured":
        return None
    timed, target = entry.timed, build.target
    if entry.origin.measured_from != origin.measured_from:
        return None
    if (timed.batch, timed.threads) != (target.batch, target.threads):
        return None
    return Profile(
        device=target.device.name,
        machine=timed.machine,
        cpu=timed.cpu,
        batch=timed.batch,
        threads=timed.threads,
        layers=tuple(
            ProfiledLayer(name=layer.name, latency_us={str(p): us for p, us in layer.latency_us})
            for layer in entry.layers
            if layer.latency_us
        ),
    )


def edited(entry: Entry | None) -> bool:
    """Return whether the sensitivities of an entry are not those that were recorded."""
    if entry is None or entry.measured is None or entry.measured.seal is None:
        return False
    return entry.measured.seal != _seal(entry.layers)


def edited_latencies(entry: Entry | None) -> bool:
    """Return whether the latencies of an entry are not those that were recorded."""
    if entry is None or entry.timed is None:
        return False
    return entry.timed.seal != _seal_of_latencies(entry.layers)


def _with_latencies(layers: Sequence[LockedLayer], profile: Profile) -> tuple[LockedLayer, ...]:
    rows = {row.name: row.latency_us for row in profile.layers}
    return tuple(
        layer.replace(
            latency_us=tuple((parse_precision(p), us) for p, us in rows[layer.name].items())
        )
        if layer.name in rows
        else layer
        for layer in layers
    )


def _timed(profile: Profile, layers: Sequence[LockedLayer]) -> Timed:
    return Timed(
        cpu=profile.cpu,
        machine=profile.machine,
        batch=profile.batch,
        threads=profile.threads,
        seal=_seal_of_latencies(layers),
    )


def _seal_of_latencies(layers: Sequence[LockedLayer]) -> str:
    return digest(*((layer.name, layer.latency_us) for layer in layers))


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
