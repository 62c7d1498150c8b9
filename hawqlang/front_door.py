"""The way in from Python: a module and a spec in, a callable artifact out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hawqlang.atomic import write_atomic
from hawqlang.backend.protocol import Array
from hawqlang.cache import Cache
from hawqlang.cli.artifacts import open_answers
from hawqlang.cli.specs import chosen_builds, only_build, upgraded
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.diagnostics.render import render_text
from hawqlang.ir.bundle import Manifest
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Build, Pt2Source, Spec
from hawqlang.pipeline import compile_build
from hawqlang.resources import cache_dir
from hawqlang.session import Session
from hawqlang.stages.import_model.python_source import EXPORT_FAILED, export_module
from hawqlang.stages.resolve import Resolution, resolve
from hawqlang.stages.resolve.existence import MISSING_MODEL
from hawqlang.stages.user_code import telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


@dataclass(frozen=True)
class Compiled:
    """An artifact on disk, loaded: calling it runs the integer program."""

    folder: Path
    manifest: Manifest
    plan: BitPlan
    """Every layer's precision, and what the whole takes up."""
    warnings: tuple[Diagnostic, ...]
    _answers: Callable[[Array], Array]

    def __call__(self, images: Any) -> Array:
        """Return int32 logits ``(N, F)``.

        Args:
            images: uint8 pixels ``(N, H, W, C)``, or the codes of a declared tensor, as an array or a tensor on
                the CPU. One common scale makes real logits of the result: it is in the manifest.
        """
        detach = getattr(images, "detach", None)
        return self._answers(np.asarray(detach().cpu() if callable(detach) else images))


def compile_module(  # noqa: PLR0913 - what a command would take as options
    module: nn.Module,
    example_input: Tensor,
    spec: str | Path,
    *,
    name: str | None = None,
    out: str | Path = "build",
    settings: Mapping[str, str] | None = None,
    trust: bool = False,
) -> Compiled:
    """Return the artifact of a module, built as a spec says.

    The module takes the place of the source and weights of the build's model; the files that these name need not be
    there. It is exported in inference mode and kept as ``OUT/NAME.pt2`` beside the artifact ``OUT/NAME``, so that
    ``pt2("OUT/NAME.pt2")`` builds the same without Python.

    Args:
        module: The float network.
        example_input: A tensor it takes, batch included; its other dimensions are those of the spec's input.
        spec: The path of a ``.hawq`` file.
        name: The build that is meant, where the spec has several.
        out: Folder for artifacts.
        settings: Values of the spec's params, as ``--set`` takes them.
        trust: Whether the spec may run Python code (``python(…)``).

    Raises:
        HawqError: With the diagnostics that ``hawqc build`` would print; a note of the exception shows them.
    """
    sources: Mapping[str, str] = {}
    try:
        found = resolve(Path(spec), overrides=dict(settings or {}), trust=trust)
        sources = found.sources
        resolved, build, warnings = _chosen(found, str(spec), name)
        folder = Path(out) / build.name
        build = _with_module(build, module, example_input, folder)
        session = Session(Cache(cache_dir()))
        artifact = compile_build(resolved, build, folder, session, warnings.append)
        answers = open_answers(artifact.folder, artifact.manifest)
    except HawqError as error:
        error.add_note(render_text(error.diagnostics, sources))
        raise
    return Compiled(artifact.folder, artifact.manifest, artifact.plan, tuple(warnings), answers)


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
