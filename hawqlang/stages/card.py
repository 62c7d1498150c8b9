"""The quantization card: what was done, taken from the steps' results and never from the spec's wishes.

The fields follow Garg et al., "Confounding Tradeoffs for Neural Network Quantization" (2021):
choices that can outweigh
the method must be disclosed.
"""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang import units
from hawqlang.ir.attempt import Attempt
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import Build, Target
from hawqlang.ir.tuning import FineTuning
from hawqlang.stages.attempts import changed, totals, verdicts


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer, ready to print."""

    name: str
    kind: str
    precision: str
    params: str
    macs: str
    bound: str


@dataclass(frozen=True, slots=True)
class ConstraintRow:
    """One constraint, ready to print."""

    name: str
    text: str
    value: str
    slack: str


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One allocation that was tried, ready to print."""

    number: int
    totals: str
    verdicts: str
    changed: str


@dataclass(frozen=True, slots=True)
class CardContext:
    """Context of ``report/card.md.j2``."""

    name: str
    version: str
    facts: tuple[tuple[str, str], ...]
    layers: tuple[LayerRow, ...]
    constraints: tuple[ConstraintRow, ...]
    attempts: tuple[AttemptRow, ...]
    """Empty where the first one held."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results a card speaks of."""

    build: Build
    plan: BitPlan
    program: IntegerProgram
    ranges: RangeTable
    sensitivities: SensitivityTable | None
    kernels: tuple[KernelSet, ...]
    calibration: str
    """The calibration set in words: count, kind, whether labels were used."""
    bias_correction: str
    rounding: str
    training: str
    evaluation: Evaluation | None
    notes: tuple[str, ...]
    attempts: tuple[Attempt, ...] = ()


def training_words(found: FineTuning | None) -> str:
    """Return what became of the fine-tuning."""
    if found is None:
        return "none"
    best = min(range(1, len(found.errors)), key=found.errors.__getitem__, default=0)
    after = (
        f"{found.errors[best]:.3g} after epoch {best}" if best else "diverged in the first epoch"
    )
    judged = f"loss {found.errors[0]:.3g} before, {after}, on {found.held_out} held-out samples"
    kind = "synthetic" if found.synthetic else "real"
    how = "distilled from FP32" if found.distilled else "on labels"
    what = (
        f"{found.method}, {found.epochs} epoch{'s' * (found.epochs != 1)} of {found.trained} {kind} samples, {how}, "
        f"{found.layers} layers: {judged}"
    )
    return what if found.kept else f"tried and dropped: {what}"


def card_context(outcome: Outcome, version: str) -> CardContext:
    """Return what the card says."""
    bounds = {bound.op: bound for bound in reversed(outcome.program.bounds)}
    return CardContext(
        name=outcome.build.name,
        version=version,
        facts=(*_result(outcome), *_method(outcome), *_arithmetic(outcome)),
        layers=tuple(
            LayerRow(
                name=choice.name,
                kind=choice.kind,
                precision=str(choice.precision),
                params=f"{choice.params:,}",
                macs=f"{choice.macs:,}",
                bound=_bound(bounds[choice.name].largest) if choice.name in bounds else "",
            )
            for choice in outcome.plan.layers
        ),
        constraints=tuple(
            ConstraintRow(
                name=row.name,
                text=row.text,
                value="holds" if row.value is None else units.quantity(row.value, row.unit),
                slack="" if row.slack is None else units.quantity(row.slack, row.unit),
            )
            for row in outcome.plan.constraints
        ),
        attempts=tuple(
            AttemptRow(
                one.number, totals(one), verdicts(one), changed(one) or "the best by its goals"
            )
            for one in outcome.attempts
            if len(outcome.attempts) > 1
        ),
        notes=outcome.notes,
    )


def _bound(largest: int) -> str:
    return f"2^{largest.bit_length() - 1}…" if largest else "0"


def _target(target: Target) -> str:
    threads = f", {target.threads} threads" if target.threads > 1 else ""
    return f"`{target.device.name}`, batch {target.batch}{threads}"


def _result(outcome: Outcome) -> list[tuple[str, str]]:
    metrics = dict(outcome.plan.metrics)
    facts = [
        ("Model", f"`{outcome.build.model.name}` ({outcome.build.model.source.kind})"),
        ("Target", _target(outcome.build.target)),
        ("Size of weights", units.size(metrics["size_bytes"])),
        ("Work", units.work(metrics["bops"], "BOPS")),
        ("Allocation", _proof(outcome.plan)),
    ]
    found = outcome.evaluation
    if found is None:
        return [*facts, ("Accuracy", "not evaluated: the spec declares no evaluation data")]
    if found.accuracy is not None and found.fp32_accuracy is not None:
        facts.append(
            (
                "Accuracy",
                (
                    f"{found.accuracy:.2%} integer, {found.fp32_accuracy:.2%} FP32"
                    f" of the same checkpoint, on {found.n} inputs"
                ),
            )
        )
    if found.agreement is not None:
        facts.append(("Same top-1 as FP32", f"{found.agreement:.2%} of {found.n} inputs"))
    return facts


def _proof(plan: BitPlan) -> str:
    left = ""
    if plan.excluded:
        what = f"the {plan.excluded} that failed" if plan.excluded > 1 else "the one that failed"
        left = f"; excluded: {what} an accuracy constraint, with everything below"
    if plan.status == "optimal":
        among = "those not excluded" if plan.excluded else "all allocations"
        return f"proven optimal among {among} that satisfy the constraints{left}"
    gap = "" if plan.gap is None else f", proven within {100 * plan.gap:.2f} % of the optimum"
    return f"{plan.status}{gap}{left}"


def _method(outcome: Outcome) -> list[tuple[str, str]]:
    build, plan = outcome.build, outcome.plan
    first, last = plan.layers[0], plan.layers[-1]
    allowed = sorted({str(p) for choice in plan.layers for p in choice.candidates})
    return [
        ("First and last layer", f"{first.precision}, {last.precision}"),
        ("Precisions allowed", ", ".join(allowed)),
        ("Weights", f"{_granularity(build)}, {build.weights.scheme}"),
        ("Rounding of weights", outcome.rounding),
        ("Effort", build.effort),
        ("Activations", f"per tensor, {outcome.ranges.scheme}, static, after ReLU"),
        ("Ranges", outcome.ranges.method),
        ("Calibration data", outcome.calibration),
        ("Sensitivity", sensitivity_words(outcome.sensitivities)),
        ("Bias correction", outcome.bias_correction),
        ("Batch norm", "folded before quantization"),
        ("Fine-tuning", outcome.training),
    ]


def _granularity(build: Build) -> str:
    """Return what shares a scale of the weights, as a spec writes it."""
    own = build.weights.granularity
    return own if isinstance(own, str) else f"group({own.size})"


def sensitivity_words(table: SensitivityTable | None) -> str:
    """Return what the sensitivities are, and what was looked at for them."""
    if table is None:
        return "not needed: every layer has one candidate"
    parts = [table.method]
    if table.samples is not None:
        parts.append(f"{table.samples} samples")
    if table.probes is not None:
        parts.append(f"{table.probes} probes")
    if table.converged is False:
        parts.append("tolerance not met")
    if table.labels is not None:
        parts.append("at the labels" if table.labels else "loss against the model's own top-1")
    if table.seed is not None:
        parts.append(f"seed {table.seed}")
    return ", ".join(parts)


def _arithmetic(outcome: Outcome) -> list[tuple[str, str]]:
    facts = [
        ("Arithmetic", "integer multiply, add, shift and compare from uint8 input to int32 logits"),
        ("Scales", "dyadic m / 2^s, 31-bit m, per channel; ties round up"),
        ("Accumulators", f"{outcome.build.accumulator}, no overflow proven for every channel"),
        ("Residual path", f"{outcome.build.residual} bits; convolution results enter unrounded"),
        ("Pooling", "average as integer sum and dyadic multiply, no division"),
    ]
    facts += [
        (
            f"Activation memory ({kernels.backend})",
            (
                f"{units.size(kernels.arena_bytes)};"
                f" lower bound {units.size(kernels.arena_lower_bound_bytes)}"
            ),
        )
        for kernels in outcome.kernels
    ]
    facts += [
        (f"Forms of kernels ({kernels.backend})", forms_words(kernels))
        for kernels in outcome.kernels
        if kernels.forms
    ]
    return facts


def forms_words(kernels: KernelSet) -> str:
    """Return who chose the forms of a back end's kernels."""
    measured = sum(form.measured for form in kernels.forms)
    if not measured:
        return "chosen by a model of the inner loop"
    return f"{measured} of {len(kernels.forms)} layers measured on the machine that built, others modelled"
