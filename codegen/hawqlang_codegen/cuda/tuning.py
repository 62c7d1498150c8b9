"""Tiles and splits by measurement on a device: alternatives tried in the network itself, as on CPUs.

Each round every product takes its next alternative, the library is built for the device alone, and runs of it and of
the modelled library are timed in turns, step by step, at the target's batch. Kernels that were compiled before come
from the cache. Ratios go to a database per device, generation of kernels and release of nvcc.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hawqlang.cache import TensorStore
from hawqlang.cuda_memory import CudaFailure, Driver
from hawqlang.cuda_runtime import CudaModel, device_arch
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.integer import IntegerProgram
from hawqlang.progress import Advance
from hawqlang.resources import data_dir
from hawqlang_codegen.cuda import build
from hawqlang_codegen.cuda.arch import Arch
from hawqlang_codegen.cuda.generate import generate
from hawqlang_codegen.cuda.plan import Plan, plan_program
from hawqlang_codegen.cuda.select import Choice, Gemm, alternatives
from hawqlang_codegen.tvm.trial import in_turns
from hawqlang_codegen.tvm.tuning import open_database, tune_among

Measured = dict[tuple[str, Gemm], Choice]


class Timed(Protocol):
    """A library on a device."""

    def profile_batch(self, images: int) -> Mapping[str, int]:
        """Return the nanoseconds of every step of one run of so many images."""
        ...

    def close(self) -> None:
        """Release its memory."""
        ...


class Device(Protocol):
    """A device to tune on."""

    @property
    def name(self) -> str:
        """Return its model's name."""
        ...

    @property
    def number(self) -> int:
        """Return its architecture: ``sm_80`` is 80."""
        ...

    def open(self, folder: Path, images: int) -> Timed:
        """Return the library of a folder, ready to be timed."""
        ...


@dataclass(frozen=True, slots=True)
class ThisDevice:
    """The first device that this process sees."""

    name: str
    number: int

    def open(self, folder: Path, images: int) -> Timed:
        """Return the library of a folder."""
        return CudaModel(folder, images=images)


def this_device() -> Device:
    """Return the device of this machine.

    Raises:
        HawqError: there is none, or no driver or cuda-python to reach it with (HQ878).
    """
    try:
        driver = Driver()
        name = driver.call("cudaGetDeviceProperties", 0).name
        number = device_arch(driver, 0)
    except CudaFailure as error:
        raise _untunable(str(error.args[0]), error.remedy) from None
    return ThisDevice(name.decode() if isinstance(name, bytes) else str(name), number)


@dataclass(frozen=True, slots=True)
class Trial:
    """Where alternatives of one program are built and timed."""

    program: IntegerProgram
    store: TensorStore
    arch: Arch
    images: int
    device: Device
    folder: Path
    """For the libraries; they are not kept."""
    objects: Path | None
    """Of compiled kernels, by content."""

    def measure(self, choices: Mapping[Gemm, Choice]) -> dict[Gemm, float]:
        """Return, per product, the time of a choice over that of the modelled one."""
        plan, base = self._library({}, "modelled")
        _, other = self._library(choices, "alternative")
        try:
            times = in_turns(
                lambda: base.profile_batch(self.images), lambda: other.profile_batch(self.images)
            )
        finally:
            base.close()
            other.close()
        sums: dict[Gemm, npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
        for step, gemm in plan.chosen:
            sums[gemm] += times[step]
        return {gemm: float(sums[gemm][1] / sums[gemm][0]) for gemm in choices}

    def _library(self, choices: Mapping[Gemm, Choice], name: str) -> tuple[Plan, Timed]:
        measured = {(self.arch.name, gemm): choice for gemm, choice in choices.items()}
        plan = plan_program(self.program, self.store, (self.arch,), self.images, measured)
        folder, scratch = self.folder / name, TensorStore()
        build.write(generate(plan, scratch), folder, scratch)
        unbuilt = build.compile_device(folder, self.objects)
        if unbuilt:
            raise _untunable(unbuilt[0].message, unbuilt[0].help or "")
        return plan, self.device.open(folder, self.images)


def tuned(trial: Trial, databases: Path | None, seconds: float, advance: Advance) -> Measured:
    """Return the choices that were fastest, of the trial's architecture.

    Args:
        trial: What to tune, and where.
        databases: Their folder; ``None`` keeps nothing.
        seconds: No round begins after so many.
        advance: Told how many rounds are done.
    """
    modelled = plan_program(trial.program, trial.store, (trial.arch,), trial.images)
    options = {gemm: alternatives(gemm, trial.arch) for _, gemm in modelled.chosen}
    database = open_database(databases, trial.arch.name, trial.device.name, generation())
    found = tune_among(options, database, trial.measure, seconds, advance)
    return {(trial.arch.name, gemm): choice for gemm, choice in found.items()}


def arch_of(device: Device, archs: tuple[Arch, ...]) -> Arch:
    """Return the architecture whose kernels a device runs: the newest that is not newer than it.

    Raises:
        HawqError: there is none (HQ878).
    """
    fit = [arch for arch in archs if arch.number <= device.number]
    if not fit:
        raise _untunable(
            f"{device.name} is sm_{device.number}, and kernels are generated for "
            f"{', '.join(arch.name for arch in archs)}",
            f"emit cuda {{ arch = [sm_{device.number}] }}",
        )
    return fit[-1]


def generation() -> str:
    """Return a digest of all that makes a kernel's speed but its shape: kernels and nvcc."""
    nvcc = build.find_nvcc()
    h = hashlib.sha256(repr(None if nvcc is None else build.nvcc_release(nvcc)).encode())
    for path in sorted((data_dir("templates") / "cuda").glob("*.cuh")):
        h.update(path.name.encode() + path.read_bytes())
    return h.hexdigest()


def _untunable(why: str, remedy: str) -> HawqError:
    return HawqError(
        Diagnostic(
            code="HQ878",
            severity="error",
            message=f"CUDA kernels cannot be tuned here: {why}",
            help=f"{remedy.rstrip('.')}; or build without `--tune`: a model chooses the tiles",
        )
    )
