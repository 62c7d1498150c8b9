"""Layers, sensitivities and rules to candidates: what a layer may take and what that costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from hawqlang.base import Precision
from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.ir.candidates import Candidate, CandidateTable, LayerCandidates, LayerSettings
from hawqlang.ir.layers import Layer, LayerTable
from hawqlang.ir.profile import Profile
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import Build
from hawqlang.stages.candidates.costs import bops, exact, latency, size_bits, table_latencies
from hawqlang.stages.candidates.profiled import Latencies, latencies
from hawqlang.stages.candidates.settings import settings

LARGEST = 1e300
"""A sensitivity beyond would not add up to a number that can be printed."""

Legality = Callable[[str, Precision], str | None]
"""Says why a layer may not run at a precision, ``None`` where it may."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of one layer beside its shape."""

    perturbations: dict[Precision, Fraction]
    latencies: dict[Precision, Fraction]
    source: Literal["table", "profile"]


def candidates(
    build: Build,
    table: LayerTable,
    sensitivities: SensitivityTable | None,
    *,
    legality: Legality | None = None,
    profile: Profile | None = None,
) -> CandidateTable:
    """Return the candidates of every layer, in execution order.

    Args:
        build: the build; of its ``layer`` blocks the last that sets ``precision`` for a layer wins.
        table: the layers. Latencies and sensitivities that it brings itself are used.
        sensitivities: predicted loss increases; ``None`` before they are measured.
        legality: says why a layer may not run at a precision (an accumulator that could overflow, a
            kernel that the back end lacks); such candidates are dropped with a warning.
        profile: measured latencies, where the target asks for them; without them they are unknown.

    Raises:
        HawqError: a selector matches nothing (HQ502), a layer is left without candidates (HQ503), a
            sensitivity is negative or not a number (HQ505), or missing (HQ506); all together. The target's profile
            is at fault (HQ427 to HQ429).
    """
    known_latencies, timed = latencies(build.target, table, profile)
    effective = settings(build, table)
    values, found = _sensitivities(build, table, sensitivities)
    measured = sensitivities is not None or any(layer.sensitivity for layer in table.layers)
    layers: list[LayerCandidates] = []
    errors = list(found)
    warnings: list[Diagnostic] = []
    for layer, own in zip(table.layers, effective, strict=True):
        known = _known(layer, values.get(layer.name, {}), known_latencies)
        kept, dropped = _legal(own, legality)
        warnings += [_dropped(build, own, precision, why) for precision, why in dropped]
        if not kept:
            errors.append(_nothing_left(build, own, dropped))
        elif measured and not found:
            errors += _missing(build, own, kept, known)
        layers.append(
            LayerCandidates(
                layer=layer.name,
                candidates=tuple(_candidate(build, layer, p, known, len(kept)) for p in kept),
                dropped=dropped,
                rule=own.rule("precision"),
                perturbations=tuple(known.perturbations.items()),
                latencies=tuple(known.latencies.items()),
            )
        )
    if errors:
        raise HawqError(*errors, *warnings)
    return CandidateTable(
        layers=tuple(layers),
        measured=measured,
        timed=timed,
        warnings=tuple(warnings),
        notes=_notes(table, layers),
    )


def _sensitivities(
    build: Build, table: LayerTable, sensitivities: SensitivityTable | None
) -> tuple[dict[str, dict[Precision, Fraction]], list[Diagnostic]]:
    given = {layer.name: dict(layer.sensitivity) for layer in table.layers if layer.sensitivity}
    for one in sensitivities.layers if sensitivities is not None else ():
        given[one.layer] = given.get(one.layer, {}) | dict(one.values)
    values: dict[str, dict[Precision, Fraction]] = {}
    errors: list[Diagnostic] = []
    for layer in table.layers:
        for precision, value in given.get(layer.name, {}).items():
            if 0 <= value <= LARGEST:
                values.setdefault(layer.name, {})[precision] = exact(value)
            else:
                errors.append(_not_a_sensitivity(build, layer.name, precision, value))
    return values, errors


def _known(
    layer: Layer, perturbations: dict[Precision, Fraction], given: Latencies | None
) -> _Known:
    measured = {p: s for (name, p), s in (given or {}).items() if name == layer.name}
    if measured:
        return _Known(perturbations, table_latencies(layer) | measured, "profile")
    return _Known(perturbations, table_latencies(layer), "table")


def _legal(
    own: LayerSettings, legality: Legality | None
) -> tuple[tuple[Precision, ...], tuple[tuple[Precision, str], ...]]:
    if legality is None:
        return own.precision, ()
    reasons = [(precision, legality(own.layer, precision)) for precision in own.precision]
    kept = tuple(precision for precision, why in reasons if why is None)
    return kept, tuple((precision, why) for precision, why in reasons if why is not None)


def _candidate(
    build: Build, layer: Layer, precision: Precision, known: _Known, offered: int
) -> Candidate:
    seconds = latency(layer, precision, build.target, known.latencies)
    modelled = "unknown" if seconds is None else "modelled"
    # Nothing is measured for a layer that has no choice: it perturbs every allocation alike.
    fallback = Fraction(0) if offered == 1 and not known.perturbations else None
    return Candidate(
        precision=precision,
        size_bits=size_bits(layer, precision),
        bops=bops(layer, precision),
        macs=layer.macs,
        latency=seconds,
        latency_source=known.source if precision in known.latencies else modelled,
        perturbation=known.perturbations.get(precision, fallback),
    )


def _missing(
    build: Build, own: LayerSettings, kept: tuple[Precision, ...], known: _Known
) -> list[Diagnostic]:
    lacking = [p for p in kept if p not in known.perturbations]
    if not lacking or (len(kept) == 1 and not known.perturbations):
        return []
    listed = ", ".join(str(p) for p in lacking)
    return [
        Diagnostic(
            code="HQ506",
            severity="error",
            message=f"layer '{own.layer}' has no sensitivity for {listed}",
            span=own.rule("precision") or build.span,
            label="offers this precision",
            help=f"give a value for {listed}, or leave it out of the layer's `precision`",
        )
    ]


def _not_a_sensitivity(build: Build, name: str, precision: Precision, value: float) -> Diagnostic:
    return Diagnostic(
        code="HQ505",
        severity="error",
        message=f"the sensitivity of layer '{name}' at {precision} is {value}",
        span=build.span,
        label="cannot be minimised",
        notes=("a sensitivity is a finite number, at least 0",),
        help="look for an overflow or a division by zero in this layer's weights or activations",
    )


def _dropped(build: Build, own: LayerSettings, precision: Precision, why: str) -> Diagnostic:
    return Diagnostic(
        code="HQ504",
        severity="warning",
        message=f"layer '{own.layer}' cannot take {precision}: {why}",
        span=own.rule("precision") or build.span,
        label="offers this precision",
    )


def _nothing_left(
    build: Build, own: LayerSettings, dropped: tuple[tuple[Precision, str], ...]
) -> Diagnostic:
    return Diagnostic(
        code="HQ503",
        severity="error",
        message=f"layer '{own.layer}' has no candidate left",
        span=own.rule("precision") or build.span,
        label="every precision offered here is refused",
        notes=tuple(f"{precision}: {why}" for precision, why in dropped),
        help="offer it another precision in a `layer` block",
    )


def _notes(table: LayerTable, layers: list[LayerCandidates]) -> tuple[str, ...]:
    blind = [
        layer.name
        for layer, own in zip(table.layers, layers, strict=True)
        if layer.input_elements is None
        and any(c.latency_source == "modelled" for c in own.candidates)
    ]
    if not blind:
        return ()
    count = len(blind)
    return (
        f"no shapes are known: the modelled latency of {count} layers counts weight bytes only",
    )
