"""One allocation made real in a folder: tune, lower, codegen, build, verify, and what accuracy constraints ask."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hawqlang import __version__, runtime
from hawqlang.backend.protocol import Backend, Tunes
from hawqlang.backend.registry import BACKENDS
from hawqlang.backend.render import render
from hawqlang.base import TensorRef
from hawqlang.cache import TensorStore, digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.interpret import logits
from hawqlang.ir.attempt import Attempt
from hawqlang.ir.bundle import (
    ALLOCATION,
    EVALUATION,
    MANIFEST,
    BackendEntry,
    Manifest,
    OpNumbers,
    Port,
)
from hawqlang.ir.evaluation import Evaluation, Predictions
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.plan import BitPlan, ConstraintResult
from hawqlang.ir.printer import program_text
from hawqlang.ir.printer_spec import print_spec
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.scales import ScaleTable
from hawqlang.ir.spec import Build, Emit, ImageInput, Input, Spec
from hawqlang.ir.tuning import Tuning
from hawqlang.ir.verdict import Verdict
from hawqlang.ops import Add, Affine, AvgPool2d, Conv2d, Linear, Multiply, Op, Resample
from hawqlang.progress import Silent
from hawqlang.session import Session
from hawqlang.stages.accuracy import accuracy_constraints, decide
from hawqlang.stages.allocate.report import plan_json
from hawqlang.stages.analyse import Analysis, Network, Report, calibration_words, recalibrated
from hawqlang.stages.bundle import file_entries, relocate, write_reference
from hawqlang.stages.card import Outcome, card_context, training_words
from hawqlang.stages.data import Samples, open_samples
from hawqlang.stages.data.made import MadeSamples, write_arrays
from hawqlang.stages.evaluate import compare, float_top1, integer_top1
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.finetune import Pupil, begins_afresh, finetune
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.lower import LowerSettings, Tuned, lower
from hawqlang.stages.simulate import Deployment
from hawqlang.stages.tune import Effort, Memory, Subject, fit
from hawqlang.stages.tune.words import bias_words, plain_rounding, rounding_words
from hawqlang.stages.tuned_weights import given_weight
from hawqlang.stages.verify import RealInputs, holds, verify
from hawqlang.stages.zero_shot import Subject as ZeroShotSubject
from hawqlang.stages.zero_shot import (
    SyntheticSamples,
    open_or_make,
    stored_dataset,
    write_samples,
)


@dataclass(frozen=True, slots=True)
class Realised:
    """What stands in the folder, before it is known to be the final one."""

    program: IntegerProgram
    scales: ScaleTable
    kernels: tuple[KernelSet, ...]
    tuning: Tuning
    evaluation: Evaluation | None
    decided: tuple[ConstraintResult, ...]
    """The accuracy constraints, as they stand for this allocation."""
    attempts: tuple[Attempt, ...] = ()
    """Every allocation that was tried, this one last."""


def realise(
    analysis: Analysis, plan: BitPlan, folder: Path, session: Session, report: Report
) -> Realised:
    """Generate, build and check the library of one allocation in ``folder``.

    Where the cache knows that the program fails an accuracy constraint, nothing is built: ``kernels`` is empty.

    Raises:
        HawqError: lowering or a compiler refuses, or the library disagrees with the interpreter (HQ901).
    """
    build, network = analysis.build, analysis.known()
    program, scales, tuning = integers(analysis, plan, session, report)
    known = _known_evaluation(analysis, network, program, session)
    decided = _decided(build, known)
    if not all(result.holds for result in decided):
        return Realised(program, scales, (), tuning, known, decided)
    kernels = tuple(_generate(build, program, folder, session, report))
    evaluation = known or _evaluate(analysis, network, program, folder, kernels, session)
    decided = _decided(build, evaluation)
    if len(decided) < len(accuracy_constraints(build)):
        raise HawqError(_not_evaluated(build))
    return Realised(program, scales, kernels, tuning, evaluation, decided)


def integers(
    analysis: Analysis, plan: BitPlan, session: Session, report: Report
) -> tuple[IntegerProgram, ScaleTable, Tuning]:
    """Return the integer program of an allocation, its dyadic numbers, and what was tuned for it.

    Raises:
        HawqError: lowering refuses.
    """
    build, network, store = analysis.build, analysis.known(), session.cache.tensors
    with session.step("tune", "fit weights and biases") as advance:
        feedback = Feedback(advance, report, session.progress.doing)
        tuning = _tuned(analysis, network, plan, session, feedback)
    tuning = _finetuned(analysis, network, plan, tuning, session, report)
    with session.step("lower", "lower to integers"):
        program, scales = lower(
            network.graph,
            network.ranges.with_rows(tuning.ranges),
            plan.allocation(),
            LowerSettings(network.input, analysis.settings, build.residual),
            store,
            _parameters(tuning, store),
        )
    return program, scales, tuning


def _decided(build: Build, evaluation: Evaluation | None) -> tuple[ConstraintResult, ...]:
    """Return how the accuracy constraints stand; none without an evaluation."""
    if evaluation is None or evaluation.accuracy is None:
        return ()
    return tuple(decide(constraint, evaluation) for constraint in accuracy_constraints(build))


def _tuned(
    analysis: Analysis, network: Network, plan: BitPlan, session: Session, feedback: Feedback
) -> Tuning:
    """Return the corrections of an allocation, perhaps from the cache; none where training would drop them."""
    if begins_afresh(analysis.settings.values()):
        return Tuning()
    deployment = Deployment(plan.allocation(), analysis.settings, analysis.build.residual)
    own, build = tuple(analysis.settings.items()), analysis.build
    best = build.seed if build.effort == "best" else None
    allocation = tuple(plan.allocation().items())
    key = digest("tune", __version__, network.digest(), allocation, own, build.residual, best)

    def again(model: FloatModel) -> RangeTable:
        return recalibrated(analysis, model)

    return session.cache.step(
        key,
        Tuning,
        lambda: fit(
            Subject(network.model, network.ranges, deployment, network.stream()),
            Memory(session.cache, key),
            feedback,
            Effort(again if build.effort == "best" else None, build.seed),
        ),
    )


def _finetuned(
    analysis: Analysis,
    network: Network,
    plan: BitPlan,
    tuning: Tuning,
    session: Session,
    report: Report,
) -> Tuning:
    """Return the tuning after training, from the cache where this allocation was trained before."""
    build, dataset = analysis.build, analysis.build.dataset
    asked = [own for own in analysis.settings.values() if own.finetune is not None]
    if not asked or dataset is None or dataset.training is None:
        return tuning
    outputs = math.prod(network.graph.shape(network.graph.output))
    subject = ZeroShotSubject(build.model, network.model, network.input)
    samples = open_or_make(dataset.training, subject, build.seed, session, classes=outputs)
    parameters = _parameters(tuning, session.cache.tensors)
    deployment = Deployment(
        plan.allocation(),
        analysis.settings,
        build.residual,
        biases={name: np.asarray(b, np.float64) for name, b in parameters.biases.items()},
        weights=parameters.weights,
    )
    table = network.ranges.with_rows(tuning.ranges)
    pupil = Pupil(network.model, table, deployment, network.input, dataset.training.span)
    own = tuple(analysis.settings.items())
    allocation = tuple(plan.allocation().items())
    key = digest("finetune", network.digest(), allocation, own, tuning, samples.digest, build.seed)
    with session.step("tune", f"train on {len(samples)} samples") as advance:
        feedback = Feedback(advance, report, session.progress.doing)

        def train() -> Tuning:
            return finetune(
                pupil, tuning, samples, build.seed, Memory(session.cache, key), feedback
            )

        return session.cache.step(key, Tuning, train)


def _parameters(tuning: Tuning, store: TensorStore) -> Tuned:
    """Return weights and biases as lowering takes them."""
    return Tuned(
        biases={row.layer: store.get(row.bias) for row in tuning.biases},
        weights={row.layer: given_weight(store, row) for row in tuning.weights},
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where an artifact is in the making, and where it will stand: its manifest's paths are relative to that."""

    partial: Path
    final: Path


def finish(
    spec: Spec, analysis: Analysis, plan: BitPlan, found: Realised, place: Place, session: Session
) -> Manifest:
    """Write everything that describes the library, seal the manifest, and prove the whole.

    Args:
        spec: what was built.
        analysis: what is known of the model.
        plan: the allocation, accuracy constraints decided.
        found: what stands in the folder.
        place: the folder.
        session: shows progress.
    """
    with session.step("report", "describe the artifact"):
        _describe(analysis, plan, found, place.partial, session.cache.tensors)
        manifest = _manifest(spec, analysis, found, place, session.cache.tensors).sealed()
        (place.partial / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    with session.step("verify", "verify against the interpreter"):
        verdict = verify(place.partial, manifest, RealInputs(), Silent())
    if not holds(verdict):
        raise HawqError(_not_proven(analysis.build, verdict))
    return manifest


def _generate(
    build: Build, program: IntegerProgram, folder: Path, session: Session, report: Report
) -> Iterator[KernelSet]:
    """Yield the kernels of every back end that the build emits, each built in a folder of its own."""
    store = session.cache.tensors
    for emit in build.emits:
        if emit.what not in BACKENDS:
            continue
        backend = BACKENDS[emit.what]()
        kernels = _kernels(backend, program, build, emit, session)
        with session.step("build", f"compile {emit.what} code"):
            unbuilt = backend.build(kernels, folder / emit.what, store)
        for warning in unbuilt:
            report(warning.replace(span=warning.span or emit.span))
        yield kernels


def _kernels(
    backend: Backend, program: IntegerProgram, build: Build, emit: Emit, session: Session
) -> KernelSet:
    """Return the kernels of a program, their forms measured where the session asks for it and the back end can."""
    store = session.cache.tensors
    if session.tune_seconds is not None and isinstance(backend, Tunes):
        with session.step("tune kernels", f"measure forms of {backend.name} kernels") as advance:
            return backend.tuned(program, build.target, store, session.tune_seconds, advance)
    with session.step("codegen", f"generate {backend.name} code"):
        return backend.generate(program, build.target, store, emit)


def _known_evaluation(
    analysis: Analysis, network: Network, program: IntegerProgram, session: Session
) -> Evaluation | None:
    """Return what was found when this very program ran on this very data, ``None`` where it did not."""
    samples = _evaluation_samples(analysis, network)
    if samples is None:
        return None
    found = session.cache.load(_evaluation_key(program, samples), Predictions)
    if found is None:
        return None
    integer = session.cache.tensors.get(found.top1)
    float_ = float_top1(network.graph, network.input, samples, session.cache, session.progress)
    return compare(integer, float_, samples.labels)


def _evaluate(
    analysis: Analysis,
    network: Network,
    program: IntegerProgram,
    folder: Path,
    kernels: tuple[KernelSet, ...],
    session: Session,
) -> Evaluation | None:
    """Return integer and float accuracy where the spec asks for them and has the data."""
    samples = _evaluation_samples(analysis, network)
    if samples is None or not kernels:
        return None
    integer = _answers(program, folder, kernels, samples, network.input, session)
    with suppress(OSError):  # a cache that cannot be written costs time, never the result
        found = Predictions(top1=session.cache.tensors.put(integer))
        session.cache.save(_evaluation_key(program, samples), found)
    float_ = float_top1(network.graph, network.input, samples, session.cache, session.progress)
    return compare(integer, float_, samples.labels)


def _answers(
    program: IntegerProgram,
    folder: Path,
    kernels: tuple[KernelSet, ...],
    samples: Samples,
    network_input: Input,
    session: Session,
) -> npt.NDArray[np.int64]:
    """Return the top-1 of every sample: a library's, or the interpreter's where all libraries are emulations."""
    for kernel_set in kernels:
        runner = BACKENDS[kernel_set.backend]().load(folder / kernel_set.backend)
        try:
            if not runner.slow:
                return integer_top1(runner.run, samples, network_input, session.progress)
        finally:
            runner.close()
    return integer_top1(
        partial(logits, program, session.cache.tensors), samples, network_input, session.progress
    )


def _evaluation_samples(analysis: Analysis, network: Network) -> Samples | None:
    """Return the data to evaluate on, ``None`` where there is none or nothing asks for it."""
    build = analysis.build
    wanted = bool(accuracy_constraints(build)) or any(
        e.what in ("card", "report") for e in build.emits
    )
    data = None if build.dataset is None else build.dataset.evaluation
    return None if data is None or not wanted else open_samples(data, network.input, trust=True)


def _evaluation_key(program: IntegerProgram, samples: Samples) -> str:
    """Return what the answers of a program depend on: every library of it gives the same."""
    return digest("integer_top1", __version__, program, samples.digest)


def _not_evaluated(build: Build) -> Diagnostic:
    first = accuracy_constraints(build)[0]
    return Diagnostic(
        code="HQ234",
        severity="error",
        message=f"'{first.name}' cannot be checked: there is no labelled evaluation data, or no library to run",
        span=first.span,
        help='add `evaluation = images("eval/", labels = "labels.csv")` to the dataset',
    )


def _describe(
    analysis: Analysis,
    plan: BitPlan,
    found: Realised,
    folder: Path,
    store: TensorStore,
) -> None:
    """Write everything but the manifest and the libraries."""
    network = analysis.known()
    write_reference(found.program, store, folder)
    (folder / "program.txt").write_text(program_text(found.program, store), encoding="utf-8")
    allocation = json.dumps(plan_json(plan), indent=1, ensure_ascii=False) + "\n"
    (folder / ALLOCATION).write_text(allocation, encoding="utf-8")
    outcome = Outcome(
        build=analysis.build,
        plan=plan,
        program=found.program,
        ranges=network.ranges.with_rows(found.tuning.ranges),
        sensitivities=analysis.sensitivities,
        kernels=found.kernels,
        calibration=calibration_words(network, analysis.build),
        bias_correction=bias_words(found.tuning),
        rounding=rounding_words(found.tuning, plain_rounding(analysis.settings.values())),
        training=training_words(found.tuning.training),
        evaluation=found.evaluation,
        attempts=found.attempts,
        notes=(*network.graph.notes, *plan.notes),
    )
    context = card_context(outcome, __version__)
    (folder / "card.md").write_text(
        render("report/card.md.j2", **{f.name: getattr(context, f.name) for f in fields(context)}),
        encoding="utf-8",
    )
    if found.evaluation is not None:
        evaluation = found.evaluation.model_dump_json(indent=1) + "\n"
        (folder / EVALUATION).write_text(evaluation, encoding="utf-8")
    shutil.copyfile(runtime.__file__, folder / "runtime.py")
    if isinstance(network.samples, SyntheticSamples):
        write_samples(network.samples, network.input, folder)
    elif isinstance(network.samples, MadeSamples):
        write_arrays(folder, network.samples.images, network.samples.labels)


def _manifest(
    spec: Spec, analysis: Analysis, found: Realised, place: Place, store: TensorStore
) -> Manifest:
    build, network, base = analysis.build, analysis.known(), place.final.resolve()
    program = found.program
    dataset = stored_dataset(build.dataset, base)
    pixels = program.tensor(program.input)
    return Manifest(
        compiler=__version__,
        build=build.name,
        spec=print_spec(spec.replace(builds=(build,))),
        sources=tuple((Path(path).name, sha) for path, sha in spec.sources),
        inputs=(("graph", digest(network.graph)), ("calibration", network.samples.digest)),
        model=relocate(build.model, base, to_relative=True),
        dataset=None if dataset is None else relocate(dataset, base, to_relative=True),
        target=relocate(build.target, base, to_relative=True),
        network_input=network.input,
        input=Port(
            shape=pixels.shape,
            dtype="uint8",
            scale=_input_scale(network.input),
            zero_point=pixels.zero_point,
        ),
        output=Port(
            shape=program.tensor(program.output).shape,
            dtype="int32",
            scale=found.scales.scale(program.output),
            zero_point=0,
        ),
        seed=build.seed,
        backends=tuple(
            BackendEntry(
                name=kernels.backend,
                folder=kernels.backend,
                arena_bytes=kernels.arena_bytes,
                arena_lower_bound_bytes=kernels.arena_lower_bound_bytes,
                forms=kernels.forms,
            )
            for kernels in found.kernels
        ),
        dyadic=tuple(numbers for op in program.ops for numbers in _numbers(op, store)),
        files=file_entries(place.partial),
    )


def _input_scale(network_input: Input) -> float:
    """Return the real value of one step of the input's codes; a pixel of an image counts as itself."""
    if isinstance(network_input, ImageInput):
        return 1.0
    low, high = min(network_input.low, 0), max(network_input.high, 0)
    return float((high - low) / 255)


def _numbers(op: Op, store: TensorStore) -> Iterator[OpNumbers]:
    """Yield the dyadic numbers of every tensor that an operator stores."""

    def listed(tensor: str, multiplier: TensorRef, shift: TensorRef) -> OpNumbers:
        return OpNumbers(
            op=op.name,
            tensor=tensor,
            multiplier=tuple(int(m) for m in store.get(multiplier)),
            shift=tuple(int(s) for s in store.get(shift)),
        )

    match op:
        case Affine():
            yield listed(op.output, op.multiplier, op.shift)
        case Conv2d() | Linear() | AvgPool2d() | Multiply() | Resample():
            for one in op.stores:
                yield listed(one.output, one.multiplier, one.shift)
        case Add():
            for one in op.stores:
                yield OpNumbers(
                    op=op.name,
                    tensor=one.output,
                    multiplier=(one.a.multiplier, one.b.multiplier),
                    shift=(one.a.shift, one.b.shift),
                )
        case _:
            return


def _not_proven(build: Build, verdict: Verdict) -> Diagnostic:
    """Return the report of a library that is not what the program says: a defect of the compiler."""
    first = verdict.first_difference
    floats = [text for b in verdict.backends for text in b.float_instructions]
    if first is not None:
        what = (
            f"{first.backend} stores {first.got} instead of {first.expected} in"
            f" {first.tensor}{list(first.index)} (operator {first.op}, input {first.input})"
        )
    elif floats:
        what = f"the library holds floating-point instructions: {floats[0]}"
    else:
        what = "a bound or a file's hash does not hold"
    return Diagnostic(
        code="HQ901",
        severity="error",
        message=f"'{build.name}' was built but could not be verified: {what}",
        span=build.span,
        help="this is a defect of hawqc; nothing was written. Please report it with the spec",
    )
