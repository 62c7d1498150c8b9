"""The way in from Python: a module and a spec in, a callable artifact out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawqlang.atomic import write_atomic
from hawqlang.backend.protocol import Array
from hawqlang.cache import Cache
from hawqlang.cli.artifacts import open_answers
from hawqlang.cli.specs import chosen_builds, only_build, upgraded
from hawqlang.compiled import Compiled
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.diagnostics.render import render_text
from hawqlang.ir.spec import Build, Pt2Source, Spec
from hawqlang.pipeline import compile_build
from hawqlang.resources import cache_dir
from hawqlang.session import Session
from hawqlang.stages.data.made import as_array
from hawqlang.stages.import_model.python_source import EXPORT_FAILED, export_module
from hawqlang.stages.resolve import Resolution, resolve
from hawqlang.stages.resolve.existence import MISSING_MODEL
from hawqlang.stages.user_code import telling

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks for, as the options of a command."""

    spec: str
    name: str | None
    out: str | Path
    settings: Mapping[str, str]
    trust: bool


def compile_module(module: nn.Module, example_input: Tensor, wanted: Wanted) -> Compiled:
    """Return the artifact of a module: what :func:`hawqlang.compile` promises."""
    sources: Mapping[str, str] = {}
    try:
        found = resolve(Path(wanted.spec), overrides=dict(wanted.settings), trust=wanted.trust)
        sources = found.sources
        resolved, build, told = _chosen(found, wanted.spec, wanted.name)
        folder = Path(wanted.out) / build.name
        build = _with_module(build, module, example_input, folder)
        session = Session(Cache(cache_dir()))
        artifact = compile_build(resolved, build, folder, session, told.append)
        answers = open_answers(artifact.folder, artifact.manifest, warnings.warn)
    except HawqError as error:
        error.add_note(render_text(error.diagnostics, sources))
        raise

    def run(images: Any) -> Array:
        return answers(as_array(images))

    return Compiled(artifact.folder, artifact.manifest, artifact.plan, tuple(told), run)


def _chosen(found: Resolution, spec: str, name: str | None) -> tuple[Spec, Build, list[Diagnostic]]:
    """Return the spec and the build meant, with warnings; errors end it here."""
    diagnostics = [upgraded(d) for d in found.diagnostics if d.code != MISSING_MODEL]
    if found.spec is None or any(d.severity == "error" for d in diagnostics):
        raise HawqError(*diagnostics)
    build = only_build(spec, chosen_builds(found.spec, name), "name the one to compile")
    return found.spec, build, diagnostics


def _with_module(build: Build, module: nn.Module, example: Tensor, folder: Path) -> Build:
    """Return a build whose network is the module, which is kept beside the artifact."""
    called = type(module).__qualname__
    with telling(called, str(Path.cwd()), build.model.source_span, EXPORT_FAILED):
        data = export_module(module, example)
    path = folder.parent / f"{folder.name}.pt2"
    write_atomic(path, data)
    source = Pt2Source(path=str(path.resolve()))
    return build.replace(model=build.model.replace(source=source, weights=None))
