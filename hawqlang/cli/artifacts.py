"""Open an artifact for a command: its manifest, its library, the data it was made with."""

from __future__ import annotations

from pathlib import Path

from hawqlang.backend.protocol import Runner
from hawqlang.backend.registry import BACKENDS
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.bundle import Manifest
from hawqlang.ir.spec import ArraysData, Data, Dataset, ImagesData
from hawqlang.stages.bundle import read_manifest, relocate


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
    """Return the artifact's first back end, loaded in its best variant for this machine."""
    if not manifest.backends:
        raise HawqError(
            Diagnostic(
                code="HQ812",
                severity="error",
                message=f"'{folder}' holds no library that could run",
                help="its spec emits no code; add `emit tvm`",
            )
        )
    entry = manifest.backends[0]
    return BACKENDS[entry.name]().load(folder / entry.folder)


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
    like = declared or (None if dataset is None else dataset.calibration)
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
