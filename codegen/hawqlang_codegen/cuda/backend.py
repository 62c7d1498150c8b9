"""The CUDA back end's functions, nothing more."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hawqlang.backend.protocol import Backend
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.spec import Emit, Target
from hawqlang.progress import Advance
from hawqlang_codegen.cuda import build, gates, run, tuning
from hawqlang_codegen.cuda.arch import chosen
from hawqlang_codegen.cuda.generate import BACKEND as NAME
from hawqlang_codegen.cuda.generate import generate
from hawqlang_codegen.cuda.plan import plan_program
from hawqlang_codegen.tvm.build import beside
from hawqlang_codegen.tvm.tuning import TUNING


class CudaBackend:
    """Libraries for NVIDIA GPUs, and their emulation on any host."""

    name = NAME

    def generate(
        self, program: IntegerProgram, target: Target, store: TensorStore, emit: Emit | None = None
    ) -> KernelSet:
        """Return the sources and packed weights; tiles are chosen for the target's batch."""
        archs = chosen(emit.arch if emit is not None else ())
        return generate(plan_program(program, store, archs, target.batch), store)

    def tuned(
        self,
        program: IntegerProgram,
        target: Target,
        store: TensorStore,
        seconds: float,
        advance: Advance,
        emit: Emit | None = None,
    ) -> KernelSet:
        """Return the same with the tiles that were fastest on this machine's device, for its architecture."""
        archs = chosen(emit.arch if emit is not None else ())
        device = tuning.this_device()
        with tempfile.TemporaryDirectory() as scratch:
            trial = tuning.Trial(
                program=program,
                store=store,
                arch=tuning.arch_of(device, archs),
                images=target.batch,
                device=device,
                folder=Path(scratch),
                objects=beside(store, build.OBJECTS),
            )
            measured = tuning.tuned(trial, beside(store, TUNING), seconds, advance)
        return generate(plan_program(program, store, archs, target.batch, measured), store)

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
