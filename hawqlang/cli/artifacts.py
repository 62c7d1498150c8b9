"""Open an artifact for a command: its manifest, its library, the data it was made with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hawqlang.backend.protocol import Array, Runner
from hawqlang.backend.registry import BACKENDS
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.interpret import logits
from hawqlang.ir.bundle import Manifest
from hawqlang.ir.spec import ArraysData, Data, Dataset, ImagesData
from hawqlang.stages.bundle import read_manifest, read_reference, relocate


def open_artifact(folder: Path) -> Manifest:
    """Return the manifest of ``folder`` with its paths made absolute."""
    manifest = read_manifest(folder)
    base = folder.resolve()
    return manifest.replace(
        model=relocate(manifest.model, base, to_relative=False),
        dataset=None
        if manifest.dataset is None
        else relocate(manifest.dataset, base, to_relative=False),
    )


def open_library(folder: Path, manifest: Manifest) -> Runner:
    """Return the artifact's first library that this machine runs itself, else the first emulation."""
    if not manifest.backends:
        raise HawqError(
            Diagnostic(
                code="HQ812",
                severity="error",
                message=f"'{folder}' holds no library that could run",
                help="its spec emits no code; add `emit tvm`",
            )
        )
    runners = [BACKENDS[entry.name]().load(folder / entry.folder) for entry in manifest.backends]
    chosen = next((runner for runner in runners if not runner.slow), runners[0])
    for runner in runners:
        if runner is not chosen:
            runner.close()
    return chosen


def open_timed(folder: Path, manifest: Manifest) -> Runner:
    """Return the artifact's library, one whose time says something.

    Raises:
        HawqError: there are emulations only (HQ816).
    """
    runner = open_library(folder, manifest)
    if runner.slow:
        runner.close()
        raise HawqError(
            Diagnostic(
                code="HQ816",
                severity="error",
                message=f"'{folder}' holds no library that this machine could time: {runner.variant} is an emulation",
                notes=(f"{runner.missing}.",),
                help="run it on a machine with the device, or add `emit tvm` for the CPU",
            )
        )
    return runner


def open_answers(
    folder: Path, manifest: Manifest, note: Callable[[str], None]
) -> Callable[[Array], Array]:
    """Return what gives logits of a batch: a library, or the interpreter, which is faster than an emulation.

    Args:
        folder: The artifact.
        manifest: Its manifest.
        note: Told why it is the interpreter.
    """
    runner = open_library(folder, manifest)
    if not runner.slow:
        return runner.run
    note(f"{runner.missing}. The interpreter answers, bit for bit as the kernels do")
    runner.close()
    program, store = read_reference(folder)
    return partial(logits, program, store)


def evaluation_data(manifest: Manifest, data: Path | None, labels: Path | None) -> Data:
    """Return what ``eval`` runs on: the spec's evaluation set, or another set of the same form."""
    dataset: Dataset | None = manifest.dataset
    declared = None if dataset is None else dataset.evaluation
    if data is None:
        if declared is None:
            raise HawqError(
                Diagnostic(
                    code="HQ813",
                    severity="error",
                    message="the spec of this artifact declares no evaluation data",
                    help="give `--data PATH`, and `--labels FILE.csv` for a folder of images",
                )
            )
        return declared
    path, csv = str(data.resolve()), None if labels is None else str(labels.resolve())
    like = (
        declared
        if isinstance(declared, ArraysData | ImagesData)
        else (None if dataset is None else dataset.calibration)
    )
    match like:
        case ArraysData() if data.is_file():
            return like.replace(path=path, count=None)
        case ImagesData() if data.is_dir():
            return like.replace(folder=path, labels=csv, count=None)
        case _:
            raise HawqError(
                Diagnostic(
                    code="HQ814",
                    severity="error",
                    message=f"'{data}' is not data of the form that this artifact was made with",
                    help="give a folder where the spec says `images`, an .npz where it says `arrays`",
                )
            )
