"""A built folder as a runner."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hawqlang import runtime
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.runtime import Model, RuntimeFailure, supported

Array = npt.NDArray[Any]


class TvmRunner:
    """A loaded library, forced to one instruction set."""

    def __init__(self, folder: Path, variant: str | None) -> None:
        try:
            self._model = Model(folder, isa=variant)
        except RuntimeFailure as error:
            raise load_error(folder, error) from None
        self.variant = self._model.isa
        self.slow = False
        self.missing = ""

    def run(self, images: Array) -> Array:
        """Return int32 logits ``(N, F)`` of uint8 inputs ``(N, H, W, C)``."""
        with _explained():
            return self._model.run(images)

    def trace(self, image: Array) -> Mapping[str, Array]:
        """Return every stored tensor of one input ``(H, W, C)`` by name, as int32 values."""
        with _explained():
            return self._model.trace(image)

    def profile(self, image: Array) -> Mapping[str, int]:
        """Return the nanoseconds of every step for one input."""
        with _explained():
            return self._model.profile(image)

    def close(self) -> None:
        """Release the library's memory."""
        self._model.close()


def variants(folder: Path) -> tuple[str, ...]:
    """Return the instruction sets in a built folder that this machine can run, best first."""
    try:
        return supported(folder)
    except RuntimeFailure as error:
        raise load_error(folder, error) from None


REMEDIES = {
    runtime.WEIGHTS: "put the weights.bin of the same build beside model.so, or build again",
    runtime.ISA: "run it on a CPU with AVX2; HAWQ_ISA, where set, must name what the CPU has",
    runtime.ARGUMENT: f"HAWQ_THREADS, where set, is a number from 1 to {runtime.MAX_THREADS}",
    runtime.MEMORY: "free memory, or open it with fewer threads (HAWQ_THREADS)",
    runtime.THREADS: "set HAWQ_THREADS to fewer threads, or let the process have more",
}
"""What helps, by the library's code."""


@contextmanager
def _explained() -> Generator[None]:
    """Turn what a loaded library refuses into a diagnostic (HQ809)."""
    try:
        yield
    except RuntimeFailure as error:
        raise HawqError(
            Diagnostic(
                code="HQ809",
                severity="error",
                message=f"the library does not run: {error}",
                help=REMEDIES.get(error.code),
            )
        ) from None


def load_error(folder: Path, error: RuntimeFailure) -> HawqError:
    """Return the diagnostic of a library that does not open (HQ803)."""
    return HawqError(
        Diagnostic(
            code="HQ803",
            severity="error",
            message=f"the artifact in {folder} does not load: {error}",
            help=REMEDIES.get(error.code, "build it again with this version, for x86-64 Linux"),
        )
    )
