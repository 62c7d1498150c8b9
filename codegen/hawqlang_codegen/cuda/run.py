"""A built folder as a runner: the device's library where there is a device, and the emulation everywhere."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hawqlang.cuda_memory import has_bindings
from hawqlang.cuda_runtime import CudaModel
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.runtime import Model, RuntimeFailure, supported
from hawqlang_codegen.cuda.build import EMULATED, LIBRARY
from hawqlang_codegen.cuda.generate import WEIGHTS

Array = npt.NDArray[Any]
KERNEL_FAILED = -16
"""``HAWQ_EKERNEL`` of hawq_cuda.h."""


class CudaRunner:
    """A loaded library: of the device, or the emulation of one architecture."""

    def __init__(self, folder: Path, variant: str | None) -> None:
        first = variant or next(iter(variants(folder)), EMULATED)
        emulated = first.startswith(EMULATED)
        place = folder / EMULATED if emulated else folder
        try:
            # Without cuda-python the library itself copies between host and device.
            self._model: Model = (
                CudaModel(place, isa=variant)
                if not emulated and has_bindings()
                else Model(place, isa=variant, weights=folder / WEIGHTS)
            )
        except RuntimeFailure as error:
            raise load_error(folder, error) from None
        self.variant = self._model.isa
        self.slow = emulated
        self.missing = missing(folder) if emulated else ""

    def run(self, images: Array) -> Array:
        """Return int32 logits ``(N, F)`` of uint8 inputs ``(N, H, W, C)``."""
        with self._faults():
            return self._model.run(images)

    def trace(self, image: Array) -> Mapping[str, Array]:
        """Return every stored tensor of one input ``(H, W, C)`` by name, as int32 values."""
        with self._faults():
            return self._model.trace(image)

    def profile(self, image: Array) -> Mapping[str, int]:
        """Return the nanoseconds of every step for one input."""
        with self._faults():
            return self._model.profile(image)

    def close(self) -> None:
        """Release the library's memory."""
        self._model.close()

    @contextmanager
    def _faults(self) -> Generator[None]:
        """Turn what a kernel did wrong (HQ902), or the library refuses (HQ809), into a diagnostic."""
        try:
            yield
        except RuntimeFailure as error:
            failed = error.code == KERNEL_FAILED
            what = f"a kernel failed on {self.variant}" if failed else "the library does not run"
            remedy = getattr(error, "remedy", None)
            remedy = (
                "this is a defect of hawqc. Please report it with the spec" if failed else remedy
            )
            code = "HQ902" if failed else "HQ809"
            raise HawqError(
                Diagnostic(code=code, severity="error", message=f"{what}: {error}", help=remedy)
            ) from None


def variants(folder: Path) -> tuple[str, ...]:
    """Return what can run of a built folder on this machine: a device first, then the emulations."""
    found: list[str] = []
    for place in (folder, folder / EMULATED):
        if not (place / LIBRARY).is_file():
            continue
        try:
            found += supported(place)
        except RuntimeFailure as error:
            raise load_error(folder, error) from None
    return tuple(found)


def missing(folder: Path) -> str:
    """Return, as a sentence, why this machine does not run the device's library of a built folder."""
    if not (folder / LIBRARY).is_file():
        return "Its library for devices was not built: nvcc was missing"
    if not has_bindings():
        return "There is no device that its library could run on"
    try:
        CudaModel(folder).close()
    except RuntimeFailure as error:
        return str(error).removesuffix(".")
    return ""


def load_error(folder: Path, error: RuntimeFailure) -> HawqError:
    """Return the diagnostic of a library that does not open (HQ803)."""
    return HawqError(
        Diagnostic(
            code="HQ803",
            severity="error",
            message=f"the artifact in {folder} does not load: {error}",
            help=getattr(
                error, "remedy", "build it again, for an architecture that the device can run"
            ),
        )
    )
