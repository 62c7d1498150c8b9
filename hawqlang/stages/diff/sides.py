"""A spec, lock, saved plan or artifact to what ``diff`` compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.bundle import ALLOCATION, EVALUATION
from hawqlang.ir.changes import Standing
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.lock import SUFFIX, Entry, Lock, Number, Weights, Width
from hawqlang.stages.bundle import read_manifest
from hawqlang.stages.diff.statements import Statements, of_spec, of_text
from hawqlang.stages.lock.changes import DYADIC, PROGRAM, accuracies, standing
from hawqlang.stages.lock.entry import dyadic_digest, program_digest
from hawqlang.stages.lock.keep import read_lock
from hawqlang.stages.lock.origin import COMPILER, lock_path, resolved_digest
from hawqlang.stages.lock.saved import read_plan
from hawqlang.stages.lock.text import parse
from hawqlang.stages.resolve import resolve_file

Kind = Literal["spec", "lock", "plan", "artifact"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two things compared."""

    kind: Kind
    label: str
    """As the reader named it."""
    standings: Mapping[str, Standing] = field(default_factory=dict[str, Standing])
    """The allocation of every build of which one is known."""
    statements: Mapping[str, Statements] | None = None
    """What the spec says, by build; ``None`` where there is no spec to read."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What to read, and how."""

    path: Path
    build: str | None
    label: str
    overrides: Mapping[str, str]
    trust: bool = False
    root: Path | None = None
    """The folder that imports may not leave, where it is not the project's own."""


def kind_of(path: Path) -> Kind:
    """Return what a path names: an artifact is a folder, the others are told by how their names end."""
    if path.is_dir():
        return "artifact"
    return {SUFFIX: "lock", ".json": "plan"}.get(path.suffix, "spec")  # pyright: ignore[reportReturnType]


def read_side(request: Request) -> Side:
    """Return what can be compared of a spec, lock, saved plan or artifact.

    Raises:
        HawqError: It cannot be read, or has no build of the name asked for.
        OSError: It is not there.
    """
    match kind_of(request.path):
        case "artifact":
            return _artifact(request)
        case "lock":
            found = parse(request.path, Lock, "lock").builds
            return Side("lock", request.label, _standings(found, request))
        case "plan":
            found = read_plan(request.path).builds
            return Side("plan", request.label, _standings(found, request))
        case "spec":
            return _spec(request)


def _standings(
    entries: Iterable[tuple[str, Entry]], request: Request, *, needed: bool = True
) -> dict[str, Standing]:
    """Return the standings of all builds, or of the one asked for."""
    found = {name: standing(entry) for name, entry in entries}
    if request.build is None:
        return found
    if request.build not in found and needed:
        raise HawqError(_no_build(request, found))
    return {name: one for name, one in found.items() if name == request.build}


def _spec(request: Request) -> Side:
    """Return what a spec says, and the allocations in the lock beside it."""
    spec, diagnostics = resolve_file(
        request.path, overrides=request.overrides, root=request.root, trust=request.trust
    )
    if spec is None:
        raise HawqError(*(d for d in diagnostics if d.severity == "error"))
    names = [build.name for build in spec.builds]
    if request.build is not None and request.build not in names:
        raise HawqError(_no_build(request, names))
    builds = [b for b in spec.builds if request.build in (None, b.name)]
    lock = read_lock(lock_path(spec))
    wanted = tuple((name, one) for name, one in lock.builds if name in names)
    old = [
        b.name
        for b in builds
        if (entry := lock.entry(b.name)) and entry.origin.resolved != resolved_digest(spec, b)
    ]
    return Side(
        "spec",
        request.label,
        _standings(wanted, request, needed=False),
        of_spec(spec, builds),
        tuple(
            f"{request.label}: the lock of '{name}' is of another state of the spec" for name in old
        ),
    )


class _Layer(BaseModel):
    """What is read of a layer of ``allocation.json``."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    name: str
    precision: Width
    params: Weights


class _Allocation(BaseModel):
    """What is read of ``allocation.json``."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    layers: tuple[_Layer, ...]
    metrics: dict[str, Number]


def _artifact(request: Request) -> Side:
    """Return what an artifact says of itself."""
    folder = request.path
    manifest = read_manifest(folder)
    if request.build not in (None, manifest.build):
        raise HawqError(_no_build(request, (manifest.build,)))
    try:
        plan = _Allocation.model_validate_json((folder / ALLOCATION).read_bytes())
        path = folder / EVALUATION
        evaluation = Evaluation.model_validate_json(path.read_bytes()) if path.is_file() else None
    except (OSError, ValidationError) as error:
        raise HawqError(
            Diagnostic(
                code="HQ811",
                severity="error",
                message=f"'{folder / ALLOCATION}' cannot be read",
                help="the artifact is damaged; build it again",
            )
        ) from error
    program = program_digest(manifest)
    found = Standing(
        layers=tuple((layer.name, layer.precision, layer.params) for layer in plan.layers),
        metrics=(*plan.metrics.items(), *accuracies(evaluation)),
        facts=(
            (f"version {COMPILER}", manifest.compiler),
            (DYADIC, dyadic_digest(manifest.dyadic)),
            *(((PROGRAM, program),) if program is not None else ()),
        ),
        whole=False,
    )
    return Side(
        "artifact",
        request.label,
        {manifest.build: found},
        {manifest.build: of_text(manifest.spec)},
    )


def _no_build(request: Request, names: Iterable[str]) -> Diagnostic:
    known = ", ".join(f"`{name}`" for name in names)
    return Diagnostic(
        code="HQ869",
        severity="error",
        message=f"'{request.label}' has no build called '{request.build}'",
        help=f"it has {known}" if known else None,
    )
