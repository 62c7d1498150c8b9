"""The TVM back end's functions, nothing more."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hawqlang.backend.protocol import Backend
from hawqlang.cache import TensorStore, digest
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.spec import Emit, Target
from hawqlang.progress import Advance
from hawqlang_codegen.tvm import build, disassemble, run
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.machine import cpu_identity, likely_sets
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.trial import open_trial
from hawqlang_codegen.tvm.tuning import TUNING, generation, open_database, tune


class TvmBackend:
    """x86-64 libraries out of TVMScript."""

    name = "tvm"

    def generate(
        self, program: IntegerProgram, target: Target, store: TensorStore, emit: Emit | None = None
    ) -> KernelSet:
        """Return the rendered sources and packed weights; they serve every x86-64 CPU with AVX2."""
        del emit
        plan = plan_program(program, store)
        return generate(plan, store, threads=target.threads, batch=target.batch)

    def tuned(
        self,
        program: IntegerProgram,
        target: Target,
        store: TensorStore,
        seconds: float,
        advance: Advance,
    ) -> KernelSet:
        """Return the same with the forms of kernels that were fastest on this machine."""
        objects = build.beside(store, build.OBJECTS)
        works = [one.work for one in plan_program(program, store).chosen]
        with tempfile.TemporaryDirectory() as scratch:
            trial = open_trial(program, store, Path(scratch), objects)
            database = open_database(build.beside(store, TUNING), trial.isa.name)
            chosen = tune(works, database, trial.measure, seconds, advance)
        plan = plan_program(program, store, chosen)
        return generate(plan, store, threads=target.threads, batch=target.batch)

    def timed_on(self) -> tuple[str, str]:
        """Return this machine's CPU with its instruction sets, and the generation of kernels."""
        return cpu_identity(), generation()

    def library(
        self, program: IntegerProgram, target: Target, store: TensorStore, folder: Path
    ) -> run.TvmRunner:
        """Return a runner of a library that holds no instruction sets but those this machine runs best."""
        plan, scratch = plan_program(program, store), TensorStore()
        sources = generate(
            plan, scratch, threads=target.threads, batch=target.batch, isas=likely_sets()
        )
        build.build(sources, folder, scratch, build.beside(store, build.OBJECTS))
        return run.TvmRunner(folder, None)

    def kernels(self, program: IntegerProgram, store: TensorStore) -> Mapping[str, str]:
        """Return a digest of the kernels that every step calls, without its weights."""
        plan = plan_program(program, store)
        of = {kernel.name: repr(kernel.context) for kernel in plan.kernels}
        return {step.name: digest(*(of[call.kernel] for call in step.calls)) for step in plan.steps}

    def build(self, kernels: KernelSet, folder: Path, store: TensorStore) -> tuple[Diagnostic, ...]:
        """Write sources, blobs and the library into ``folder``; all of it can be built."""
        build.build(kernels, folder, store)
        return ()

    def variants(self, folder: Path) -> tuple[str, ...]:
        """Return the instruction sets in a built folder that this machine can run, best first."""
        return run.variants(folder)

    def load(self, folder: Path, variant: str | None = None) -> run.TvmRunner:
        """Return a runner; the best instruction set when none is named."""
        return run.TvmRunner(folder, variant)

    def float_instructions(self, folder: Path) -> tuple[int, tuple[str, ...]]:
        """Return how many instructions were disassembled and every floating-point one found."""
        return disassemble.float_instructions(folder / build.LIBRARY)


BACKEND: Backend = TvmBackend()
