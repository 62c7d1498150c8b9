"""One allocation made real in a folder: tune, lower, codegen, build, verify, and what accuracy constraints ask."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hawqlang import __version__, runtime
from hawqlang.backend.registry import BACKENDS
from hawqlang.backend.render import render
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.bundle import MANIFEST, BackendEntry, Manifest, OpNumbers, Port
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.plan import BitPlan, ConstraintResult
from hawqlang.ir.printer import print_program
from hawqlang.ir.printer_spec import print_spec
from hawqlang.ir.scales import ScaleTable
from hawqlang.ir.spec import Build, Spec
from hawqlang.ops import Add, Affine, Conv2d, Linear, Op
from hawqlang.ops.avgpool2d import AvgPool2d
from hawqlang.session import Session
from hawqlang.stages.accuracy import accuracy_constraints, decide
from hawqlang.stages.allocate.report import plan_json
from hawqlang.stages.analyse import Analysis
from hawqlang.stages.bundle import file_entries, relocate, write_reference
from hawqlang.stages.card import Outcome, card_context
from hawqlang.stages.evaluate import compare, float_top1, integer_top1
from hawqlang.stages.lower import LowerSettings, lower
from hawqlang.stages.verify import holds, verify


@dataclass(frozen=True, slots=True)
class Realised:
    """What stands in the folder, before it is known to be the final one."""

    program: IntegerProgram
    scales: ScaleTable
    kernels: tuple[KernelSet, ...]
    bias_correction: str
    evaluation: Evaluation | None
    decided: tuple[ConstraintResult, ...]
    """The accuracy constraints, as they stand for this allocation."""


def realise(analysis: Analysis, plan: BitPlan, folder: Path, session: Session) -> Realised:
    """Generate, build and check the library of one allocation in ``folder``.

    Raises:
        HawqError: lowering or a compiler refuses, or the library disagrees with the interpreter (HQ901).
    """
    build, store = analysis.build, session.cache.tensors
    with session.step("tune", "correct biases") as advance:
        tuned = tune(analysis, plan, session.cache, advance)
    with session.step("lower", "lower to integers"):
        program, scales = lower(
            analysis.graph,
            analysis.ranges,
            plan.allocation(),
            LowerSettings(
                input=analysis.network_input, layers=analysis.settings, residual=build.residual
            ),
            store,
            tuned.lowered,
        )
    kernels = tuple(_generate(build, program, folder, session))
    evaluation = _evaluate(analysis, folder, kernels, session)
    decided = tuple(
        decide(constraint, evaluation)
        for constraint in accuracy_constraints(build)
        if evaluation is not None
    )
    return Realised(program, scales, kernels, tuned.words, evaluation, decided)


def finish(
    spec: Spec, analysis: Analysis, plan: BitPlan, found: Realised, folder: Path, final: Path, session: Session
) -> Manifest:
    """Write everything that describes the library, seal the manifest, and prove the whole.

    Args:
        spec: what was built.
        analysis: what is known of the model.
        plan: the allocation, accuracy constraints decided.
        found: what stands in ``folder``.
        folder: where the artifact is in the making.
        final: where it will stand; paths in the manifest are relative to it.
        session: shows progress.
    """
    with session.step("report", "describe the artifact"):
        _describe(analysis, plan, found, folder, session.cache.tensors)
        manifest = _manifest(spec, analysis, found, folder, final, session.cache.tensors).sealed()
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    with session.step("verify", "verify against the interpreter"):
        verdict = verify(folder, manifest, (), Quiet())
    if not holds(verdict):
        raise HawqError(_not_proven(analysis.build, verdict))
    return manifest


def _generate(
    build: Build, program: IntegerProgram, folder: Path, session: Session
) -> Iterator[KernelSet]:
    """Yield the kernels of every back end that the build emits, each built in a folder of its own."""
    store = session.cache.tensors
    for emit in build.emits:
        if emit.what not in BACKENDS:
            continue
        backend = BACKENDS[emit.what]()
        with session.step("codegen", f"generate {emit.what} code"):
            kernels = backend.generate(program, build.target, store)
        with session.step("build", f"compile {emit.what} code"):
            backend.build(kernels, folder / emit.what, store)
        yield kernels
