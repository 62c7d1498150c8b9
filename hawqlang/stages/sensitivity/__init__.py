"""Step ``sensitivity``: what each layer's candidates are expected to cost in loss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from hawqlang.base import Precision
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.sensitivity import LayerSensitivity, SensitivityTable
from hawqlang.ir.spec import HessianSensitivity, NamedSensitivity
from hawqlang.stages.batches import Stream
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.sensitivity.alone import (
    Labels,
    LayerLosses,
    Loss,
    Remember,
    forget,
    losses_alone,
)
from hawqlang.stages.sensitivity.file import (
    read_sensitivities,
    sensitivities_of_table,
    table_from_values,
)
from hawqlang.stages.sensitivity.hessian_trace import Budget, Estimate, Traces, hessian_traces
from hawqlang.stages.sensitivity.output_error import Costs, fisher_errors, mean_squared_errors
from hawqlang.stages.sensitivity.perturbation import omega, quantization_errors, undecided
from hawqlang.stages.sensitivity.trial import Subject, Trials, not_finite
from hawqlang.stages.sensitivity.work import sample_count

__all__ = [
    "LayerLosses",
    "Remember",
    "Source",
    "Subject",
    "read_sensitivities",
    "sensitivities_of_table",
    "sensitivity",
    "table_from_values",
]


@dataclass(frozen=True, slots=True)
class Source:
    """What is looked at, and what an interrupted measurement left behind."""

    samples: Stream
    """As the network sees them."""
    labels: Labels | None = None
    """One per sample, where they are known."""
    remember: Remember = forget


def sensitivity(
    subject: Subject,
    source: Source | Stream,
    method: HessianSensitivity | NamedSensitivity,
    seed: int,
    feedback: Feedback,
) -> SensitivityTable:
    """Return what every candidate of every layer is expected to cost.

    Nothing is computed for a layer with one candidate: it costs 0, whatever the plan.

    Args:
        subject: The network, its ranges and its layers' candidates.
        source: Samples, of which at most ``method.samples`` are used. Labels serve ``measured``
            alone: divergences and the curvature of the loss do not depend on them.
        method: What is estimated or measured, and how well.
        seed: Determines every probe.
        feedback: Gets work done, a warning where a tolerance is not met (HQ421) and a note where
            quantizing a layer lowered the loss (HQ422).

    Raises:
        HawqError: A sensitivity is not finite (HQ420), or there are no samples (HQ414).
    """
    source = Source(source) if isinstance(source, Stream) else source
    if undecided(subject.settings).weights and not source.samples.count:
        raise HawqError(Diagnostic(code="HQ414", severity="error", message="there are no samples"))
    match method:
        case HessianSensitivity():
            samples = source.samples.first(method.samples)
            return _hessian(subject, samples, method, seed, feedback)
        case NamedSensitivity():
            return _named(subject, source, method, seed, feedback)
        case _:
            assert_never(method)


def describe(method: HessianSensitivity | NamedSensitivity) -> str:
    """Return the method as a spec writes it."""
    match method:
        case HessianSensitivity():
            tolerance = f"{float(method.tolerance * 100):g}%"
            return (
                f"hessian(probes = {method.probes}, tolerance = {tolerance}, "
                f"samples = {method.samples})"
            )
        case NamedSensitivity():
            if method.samples is None:
                return method.kind
            return f"{method.kind}(samples = {method.samples})"
        case _:
            assert_never(method)


# ---- by output error or measured -----------------------------------------------------------------


def _named(
    subject: Subject, source: Source, method: NamedSensitivity, seed: int, feedback: Feedback
) -> SensitivityTable:
    trials = Trials(subject)
    samples = source.samples.first(sample_count(trials, method) if trials.nodes else 0)
    labels = source.labels
    costs: Costs
    match method.kind:
        case "mse":
            costs = mean_squared_errors(trials, samples, feedback)
        case "fisher":
            costs = fisher_errors(trials, samples, seed, feedback)
        case "kl":
            costs = losses_alone(trials, samples, Loss("kl"), source.remember, feedback)
        case "measured":
            loss = Loss("measured", labels)
            costs = losses_alone(trials, samples, loss, source.remember, feedback)
        case _:
            assert_never(method.kind)
    below = {key: cost for key, cost in costs.items() if cost < 0}
    if below and method.kind == "measured":
        feedback.report(_raised(below))
    rows = tuple(
        LayerSensitivity(
            layer=name,
            values=_finite(
                name, ((p, max(costs.get((name, p), 0.0), 0.0)) for p in settings.candidates)
            ),
        )
        for name, settings in subject.settings.items()
    )
    return SensitivityTable(
        method=describe(method),
        layers=rows,
        labels=labels is not None if method.kind == "measured" else None,
        samples=samples.count,
        seed=seed if method.kind == "fisher" else None,
        raised=tuple(dict.fromkeys(name for name, _ in below)),
    )


def _raised(below: Costs) -> Diagnostic:
    name, precision = min(below, key=lambda key: below[key])
    return Diagnostic(
        code="HQ422",
        severity="note",
        message=f"{len(below)} candidates lower the measured loss, most of all '{name}' at "
        f"{precision} by {-below[name, precision]:.2g}; they count as 0",
        help="more samples tell chance from benefit: sensitivity = measured(samples = …)",
    )


# ---- by the Hessian ------------------------------------------------------------------------------


def _hessian(
    subject: Subject, samples: Stream, method: HessianSensitivity, seed: int, feedback: Feedback
) -> SensitivityTable:
    wanted = undecided(subject.settings)
    traces = Traces(weights={}, inputs={}, probes=0, converged=True, worst="")
    if wanted.weights:
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
        samples=samples.count,
        seed=seed,
    )


def _row(
    name: str, values: tuple[tuple[Precision, float], ...], traces: Traces
) -> LayerSensitivity:
    """Return a layer's row of the table."""
    weight, inputs = traces.weights.get(name), traces.inputs.get(name)
    return LayerSensitivity(
        layer=name,
        values=_finite(name, values),
        weight_trace=None if weight is None else weight.mean,
        weight_trace_stderr=_finite_stderr(weight),
        activation_trace=None if inputs is None else inputs.mean,
        activation_trace_stderr=_finite_stderr(inputs),
    )


def _finite(
    name: str, values: Iterable[tuple[Precision, float]]
) -> tuple[tuple[Precision, float], ...]:
    """Return a layer's values after checking that the solver can weigh them."""
    found = tuple(values)
    for precision, value in found:
        if not math.isfinite(value):
            raise HawqError(not_finite(name, precision))
    return found


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
