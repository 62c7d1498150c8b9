"""Step ``sensitivity``: what each layer's candidates are expected to cost in loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hawqlang.base import Precision
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.sensitivity import LayerSensitivity, SensitivityTable
from hawqlang.ir.spec import HessianSensitivity
from hawqlang.stages.batches import Stream
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.sensitivity.file import (
    read_sensitivities,
    sensitivities_of_table,
    table_from_values,
)
from hawqlang.stages.sensitivity.hessian_trace import Budget, Estimate, Traces, hessian_traces
from hawqlang.stages.sensitivity.perturbation import omega, quantization_errors, undecided

__all__ = [
    "Subject",
    "read_sensitivities",
    "sensitivities_of_table",
    "sensitivity",
    "table_from_values",
]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is studied."""

    model: FloatModel
    table: RangeTable
    """Ranges of every width that a candidate reads."""
    settings: Mapping[str, LayerSettings]
    """Of every layer; its candidates are those to be rated."""


def sensitivity(
    subject: Subject, samples: Stream, method: HessianSensitivity, seed: int, feedback: Feedback
) -> SensitivityTable:
    """Return what every candidate of every layer is expected to cost.

    Nothing is computed for a layer with one candidate: it costs 0, whatever the plan.

    Args:
        subject: The network, its ranges and its layers' candidates.
        samples: As the network sees them; at most ``method.samples`` of them are used. Labels are
            not asked for: the curvature of the loss does not depend on them.
        method: Probes, tolerance and samples.
        seed: Determines every probe.
        feedback: Gets probes done, and a warning where the tolerance is not met (HQ421).

    Raises:
        HawqError: A sensitivity is not finite (HQ420), or there are no samples (HQ414).
    """
    samples = samples.first(method.samples)
    wanted = undecided(subject.settings)
    traces = Traces(weights={}, inputs={}, probes=0, converged=True, worst="")
    if wanted.weights:
        if not samples.count:
            raise HawqError(
                Diagnostic(code="HQ414", severity="error", message="there are no samples")
            )
        budget = Budget(method.probes, float(method.tolerance), seed)
        traces = hessian_traces(subject.model, samples, wanted, budget, feedback)
    errors = quantization_errors(subject.model, subject.table, subject.settings, samples)
    _report(traces, method, feedback)
    rows: list[LayerSensitivity] = []
    for name, settings in subject.settings.items():
        values = tuple((p, 0.0) for p in settings.candidates)
        if name in traces.weights:
            values = omega(name, settings.candidates, traces, errors)
        rows.append(_row(name, values, traces))
    return SensitivityTable(
        method=describe(method),
        layers=tuple(rows),
        probes=traces.probes,
        converged=traces.converged,
    )


def describe(method: HessianSensitivity) -> str:
    """Return the method as a spec writes it."""
    tolerance = f"{float(method.tolerance * 100):g}%"
    return f"hessian(probes = {method.probes}, tolerance = {tolerance}, samples = {method.samples})"


def _row(
    name: str, values: tuple[tuple[Precision, float], ...], traces: Traces
) -> LayerSensitivity:
    """Return a layer's row of the table."""
    for precision, value in values:
        if not math.isfinite(value):
            raise HawqError(
                Diagnostic(
                    code="HQ420",
                    severity="error",
                    message=f"the sensitivity of '{name}' at {precision} is not finite",
                    help="check the layer's weights",
                )
            )
    weight, inputs = traces.weights.get(name), traces.inputs.get(name)
    return LayerSensitivity(
        layer=name,
        values=values,
        weight_trace=None if weight is None else weight.mean,
        weight_trace_stderr=_finite_stderr(weight),
        activation_trace=None if inputs is None else inputs.mean,
        activation_trace_stderr=_finite_stderr(inputs),
    )


def _finite_stderr(estimate: Estimate | None) -> float | None:
    known = estimate is not None and math.isfinite(estimate.stderr)
    return estimate.stderr if estimate is not None and known else None


def _report(traces: Traces, method: HessianSensitivity, feedback: Feedback) -> None:
    """Tell of a tolerance that was not met."""
    if not traces.converged:
        worst = max(
            (e.stderr / abs(e.mean) if e.mean else math.inf)
            for found in (traces.weights, traces.inputs)
            for name, e in found.items()
            if name == traces.worst
        )
        feedback.report(
            Diagnostic(
                code="HQ421",
                severity="warning",
                message=f"{traces.probes} probes do not bring every Hessian trace within "
                f"{float(method.tolerance * 100):g}%: '{traces.worst}' is known to "
                f"{worst * 100:.2g}%",
                help="raise the probes or the tolerance: "
                f"sensitivity = hessian(probes = {4 * traces.probes}, tolerance = "
                f"{math.ceil(worst * 100)}%)",
            )
        )
