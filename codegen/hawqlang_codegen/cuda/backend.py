"""The CUDA back end's five functions, nothing more."""

from __future__ import annotations

from pathlib import Path

from hawqlang.backend.protocol import Backend
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.spec import Emit, Target
from hawqlang_codegen.cuda import build, gates, run
from hawqlang_codegen.cuda.arch import chosen
from hawqlang_codegen.cuda.generate import BACKEND as NAME
from hawqlang_codegen.cuda.generate import generate
from hawqlang_codegen.cuda.plan import plan_program


class CudaBackend:
    """Libraries for NVIDIA GPUs, and their emulation on any host."""

    name = NAME

    def generate(
        self, program: IntegerProgram, target: Target, store: TensorStore, emit: Emit | None = None
    ) -> KernelSet:
        """Return the sources and packed weights; tiles are chosen for the target's batch."""
        archs = chosen(emit.arch if emit is not None else ())
        return generate(plan_program(program, store, archs, target.batch), store)

    def build(self, kernels: KernelSet, folder: Path, store: TensorStore) -> tuple[Diagnostic, ...]:
        """Write sources, blobs and libraries into ``folder``; return what could not be built."""
        return build.build(kernels, folder, store)

    def variants(self, folder: Path) -> tuple[str, ...]:
        """Return what can run of a built folder on this machine: a device first, then the emulations."""
        return run.variants(folder)

    def load(self, folder: Path, variant: str | None = None) -> run.CudaRunner:
        """Return a runner; on a device where there is one and none is named."""
        return run.CudaRunner(folder, variant)

    def float_instructions(self, folder: Path) -> tuple[int, tuple[str, ...]]:
        """Return how many instructions were looked at, and every one that must not be there."""
        found = gates.inspect(folder)
        return found.instructions, found.problems


BACKEND: Backend = CudaBackend()
