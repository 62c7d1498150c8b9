"""The TVM back end's five functions, nothing more."""

from __future__ import annotations

from pathlib import Path

from hawqlang.backend.protocol import Backend
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.spec import Emit, Target
from hawqlang_codegen.tvm import build, disassemble, run
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.plan import plan_program


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
