"""What a build is made from: settings, versions, and the content of every file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import cast

from hawqlang import __version__
from hawqlang.base import Frozen, Precision, Span
from hawqlang.ir.lock import SUFFIX, Origin
from hawqlang.ir.spec import (
    ArraysData,
    Build,
    Data,
    FileSensitivity,
    ImagesData,
    LayersSource,
    Model,
    OnnxSource,
    ProfileLatency,
    Pt2Source,
    PythonCall,
    PythonData,
    Spec,
)
from hawqlang.stages.bundle import relocate
from hawqlang.stages.data import open_samples

COMPILER = "hawqc"
LIBRARIES = (
    "apache-tvm",
    "highspy",
    "numpy",
    "onnx",
    "pillow",
    "scipy",
    "torch",
    "z3-solver",
)
"""Those that read the inputs, measure, solve or generate code."""
EVALUATION = "evaluation"
MEASURED_ON = ("model ", "weights ", "calibration ")
"""Roles of the files that sensitivities depend on."""


def lock_path(spec: Spec) -> Path:
    """Return where the lock of a spec lies: beside it."""
    return Path(spec.file + SUFFIX)


def home(spec: Spec) -> Path:
    """Return the folder that a lock's paths are relative to: the spec's own."""
    return Path(os.path.abspath(spec.file)).parent  # noqa: PTH100 - links are not followed


def origin(spec: Spec, build: Build, *, evaluation: bool = True) -> Origin:
    """Return what a build is made from; files that are not there are left out.

    Args:
        spec: The whole spec.
        build: One of its builds.
        evaluation: Whether to read the evaluation set too: it can be large, and an allocation does not depend on it.

    Raises:
        HawqError: An image folder cannot be read.
        OSError: A file cannot be read.
    """
    base = home(spec)
    local = local_build(spec, build)
    files = tuple(_files(build, base))
    data = tuple(_data(build, base, evaluation=evaluation))
    basis = [one for one in (*files, *data) if one[0].startswith(MEASURED_ON)]
    return Origin(
        settings=tuple(sorted(_settings(spec, base))),
        versions=versions(),
        inputs=tuple(sorted((*_sources(spec, base), *files, *data))),
        resolved=resolved_digest(spec, build),
        measured_from=_digest([__version__, basis, _basis(local)]),
    )


def local_build(spec: Spec, build: Build) -> Build:
    """Return a build whose paths are relative to the spec."""
    return relocate(build, home(spec), to_relative=True)


def resolved_digest(spec: Spec, build: Build) -> str:
    """Return the digest of a build as resolved, places in the text apart."""
    return _digest(bare(local_build(spec, build)))


def versions() -> tuple[tuple[str, str], ...]:
    """Return the version of the compiler, then of the libraries that take part."""
    return ((COMPILER, __version__), *((name, _version(name)) for name in LIBRARIES))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _settings(spec: Spec, base: Path) -> Iterator[tuple[str, str]]:
    """Yield the params that were set from outside, as ``--set`` takes them; paths as the spec would write them."""
    for param in spec.params:
        if param.overridden:
            text = param.value if isinstance(param.value, str) else param.text
            yield param.name, _relative(text, base) if Path(text).is_absolute() else text


def _sources(spec: Spec, base: Path) -> Iterator[tuple[str, str]]:
    for path, sha in spec.sources:
        shipped = path.startswith("std/")
        yield f"spec {path if shipped else _relative(Path(spec.root) / path, base.resolve())}", sha


def _files(build: Build, base: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that a build names, data apart."""
    yield from _model(build.model, base)
    if isinstance(build.target.latency, ProfileLatency):
        yield from _file("profile", build.target.latency.path, base)
    if isinstance(build.sensitivity, FileSensitivity):
        yield from _file("sensitivity", build.sensitivity.path, base)


def _model(model: Model, base: Path) -> Iterator[tuple[str, str]]:
    match model.source:
        case OnnxSource() as source:
            from hawqlang.stages.import_model.onnx.external import external_files

            yield from _file("model", source.path, base)
            for path in external_files(Path(source.path)):
                yield from _file("weights", path, base)
        case Pt2Source() | LayersSource() as source:
            yield from _file("model", source.path, base)
        case PythonCall() as source:
            yield from _code(source, base)
        case _:
            pass
    if model.weights is not None:
        yield from _file("weights", model.weights.path, base)


def _code(call: PythonCall, base: Path) -> Iterator[tuple[str, str]]:
    """Yield the project's files that a factory's code lies in."""
    from hawqlang.stages.import_model.python_source import code_files

    for path in code_files(call):
        yield from _file("model", path, base)


def _data(build: Build, base: Path, *, evaluation: bool) -> Iterator[tuple[str, str]]:
    """Yield calibration, evaluation and training data."""
    dataset = build.dataset
    if dataset is None:
        return
    if dataset.calibration is not None:
        yield from _samples("calibration", dataset.calibration, build, base)
    if evaluation and dataset.evaluation is not None:
        yield from _samples(EVALUATION, dataset.evaluation, build, base)
    if evaluation and dataset.training is not None:
        yield from _samples("training", dataset.training, build, base)


def _samples(role: str, data: Data, build: Build, base: Path) -> Iterator[tuple[str, str]]:
    match data:
        case ArraysData():
            yield from _file(role, data.path, base)
        case ImagesData() if build.model.input is not None and Path(data.folder).is_dir():
            # The images used, in order, their labels, and how pixels are made of them.
            samples = open_samples(data, build.model.input)
            yield f"{role} {_relative(data.folder, base)}", samples.digest
        case PythonData() if build.model.input is not None:
            # The code was trusted when the spec was resolved; what it makes is what counts.
            samples = open_samples(data, build.model.input, trust=True)
            yield f"{role} {data.call.factory}", samples.digest
        case _:
            return


def _file(role: str, path: str | Path, base: Path) -> Iterator[tuple[str, str]]:
    """Yield the file, unless it is not there."""
    if not Path(path).is_file():
        return
    with Path(path).open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    yield f"{role} {_relative(path, base)}", content


def _relative(path: str | Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _basis(build: Build) -> object:
    """Return what sensitivities depend on beside the content of files."""
    data = None if build.dataset is None else build.dataset.calibration
    parts = (
        build.model.source,
        build.model.input,
        data,
        build.precision,
        build.weights,
        build.activations,
        build.residual,
        build.bias_correction,
        build.sensitivity,
        build.layer_rules,
        build.seed,
    )
    return bare(parts)


def bare(value: object) -> object:
    """Return a frozen value as JSON, without the places in the text where it was written."""
    match value:
        case Span():
            return None
        case Precision() | Fraction():
            return str(value)
        case Frozen():
            fields = {name: getattr(value, name) for name in type(value).model_fields}
            return {
                name: bare(field) for name, field in fields.items() if not isinstance(field, Span)
            }
        case tuple():
            return [bare(item) for item in cast("tuple[object, ...]", value)]
        case _:
            return value


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
