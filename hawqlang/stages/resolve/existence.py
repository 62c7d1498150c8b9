"""Files a spec names that are not there: a warning for ``check``, an error for other commands."""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir import spec
from hawqlang.stages.resolve.report import warning

MISSING_MODEL, MISSING_DATA, MISSING_TABLE = "HQ237", "HQ238", "HQ239"
MISSING_FILE_CODES = (MISSING_MODEL, MISSING_DATA, MISSING_TABLE)
"""Codes of warnings that every command but ``check`` treats as errors."""


def missing_files(build: spec.Build) -> tuple[Diagnostic, ...]:
    """Return a warning for every file that a build names and that is not there."""
    found = [*missing_of_model(build.model), *missing_of_target(build.target)]
    if build.dataset is not None:
        found += missing_of_dataset(build.dataset)
    if isinstance(build.sensitivity, spec.FileSensitivity):
        span = build.sensitivity.span or build.span
        found += _absent(MISSING_TABLE, build.sensitivity.path, "sensitivity file", span)
    return tuple(found)


def missing_of_model(model: spec.Model) -> Iterator[Diagnostic]:
    """Yield a warning for every file of a model that is not there."""
    match model.source:
        case spec.OnnxSource() | spec.Pt2Source() | spec.LayersSource():
            yield from _absent(MISSING_MODEL, model.source.path, "model file", model.source_span)
        case spec.ZooSource() | spec.PythonCall():
            pass
    if model.weights is not None:
        yield from _absent(MISSING_MODEL, model.weights.path, "weights file", model.weights.span)


def missing_of_dataset(dataset: spec.Dataset) -> Iterator[Diagnostic]:
    """Yield a warning for every folder and file of a dataset that is not there."""
    for data in (dataset.calibration, dataset.evaluation, dataset.training):
        match data:
            case spec.ImagesData():
                yield from _absent(MISSING_DATA, data.folder, "image folder", data.span)
                if data.labels is not None:
                    yield from _absent(MISSING_DATA, data.labels, "label file", data.span)
            case spec.ArraysData():
                yield from _absent(MISSING_DATA, data.path, "data file", data.span)
            case spec.ZeroShotData() | spec.PythonData() | None:
                pass


def missing_of_target(target: spec.Target) -> Iterator[Diagnostic]:
    """Yield a warning for a profile that is not there."""
    if isinstance(target.latency, spec.ProfileLatency):
        span = target.latency.span or target.span
        yield from _absent(MISSING_TABLE, target.latency.path, "profile", span)


def _absent(code: str, path: str, what: str, span: Span) -> Iterator[Diagnostic]:
    if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists it never raises
        help_ = "paths are relative to the file that holds them"
        yield warning(code, f"the {what} `{path}` is not there", span, help=help_)
