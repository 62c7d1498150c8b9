"""What a back end is: it generates text from an integer program, builds it, and runs what was built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.kernels import KernelSet
from hawqlang.ir.spec import Emit, Target
from hawqlang.progress import Advance

Array = npt.NDArray[Any]


class Runner(Protocol):
    """A loaded artifact of one back end, forced to one variant (instruction set)."""

    variant: str
    slow: bool
    """Whether a single input takes seconds: an emulation. Verification gives it fewer."""
    missing: str
    """Of an emulation: why this machine does not run what is emulated, as a sentence; empty otherwise."""

    def run(self, images: Array) -> Array:
        """Return int32 logits ``(N, F)`` of uint8 inputs ``(N, H, W, C)``."""
        ...

    def trace(self, image: Array) -> Mapping[str, Array]:
        """Return every stored tensor of one input ``(H, W, C)`` by name, as the program's values."""
        ...

    def profile(self, image: Array) -> Mapping[str, int]:
        """Return the nanoseconds of every step for one input ``(H, W, C)``."""
        ...

    def close(self) -> None:
        """Release the library's memory."""
        ...


class Backend(Protocol):
    """The seam between the compiler and a target."""

    name: str

    def generate(
        self, program: IntegerProgram, target: Target, store: TensorStore, emit: Emit | None = None
    ) -> KernelSet:
        """Return the rendered sources and packed weights; ``emit`` holds the spec's options of the back end."""
        ...

    def build(self, kernels: KernelSet, folder: Path, store: TensorStore) -> tuple[Diagnostic, ...]:
        """Write sources, blobs and binaries into ``folder``; return what could not be built, as warnings.

        Raises:
            HawqError: nothing that runs could be built, with the compiler's own words.
        """
        ...

    def variants(self, folder: Path) -> tuple[str, ...]:
        """Return the variants in a built folder that this machine can run, best first."""
        ...

    def load(self, folder: Path, variant: str | None = None) -> Runner:
        """Return a runner; the best variant when none is named."""
        ...

    def float_instructions(self, folder: Path) -> tuple[int, tuple[str, ...]]:
        """Return how many instructions were disassembled and every floating-point one found."""
        ...


@runtime_checkable
class Tunes(Protocol):
    """A back end that can choose among forms of its kernels by measuring them on this machine."""

    def tuned(
        self,
        program: IntegerProgram,
        target: Target,
        store: TensorStore,
        seconds: float,
        advance: Advance,
    ) -> KernelSet:
        """Return what ``generate`` does, with the forms that were fastest; ``seconds`` bound what is measured."""
        ...


@runtime_checkable
class Times(Protocol):
    """A back end whose steps can be timed on this machine, and told apart by what their time depends on."""

    def timed_on(self) -> tuple[str, str]:
        """Return this machine's CPU as far as speed depends on it, and the generation of kernels."""
        ...

    def library(
        self, program: IntegerProgram, target: Target, store: TensorStore, folder: Path
    ) -> Runner:
        """Return a runner of the variant that this machine runs best; ``folder`` need not hold others.

        Raises:
            HawqError: it cannot be built, or this machine can run none.
        """
        ...

    def kernels(self, program: IntegerProgram, store: TensorStore) -> Mapping[str, str]:
        """Return a digest of the kernels of every step; where it is equal the steps do the same work."""
        ...
