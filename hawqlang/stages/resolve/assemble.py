"""From loaded files to a spec: params, then declarations, then builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hawqlang.base import Span
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.bind import same_name
from hawqlang.stages.resolve.datasets import dataset
from hawqlang.stages.resolve.existence import (
    missing_files,
    missing_of_dataset,
    missing_of_model,
    missing_of_target,
)
from hawqlang.stages.resolve.files import Home, SourceFile
from hawqlang.stages.resolve.index import Index
from hawqlang.stages.resolve.models import model
from hawqlang.stages.resolve.namespace import Namespace, namespace, warn_unused
from hawqlang.stages.resolve.params import Resolved, check_overrides, param
from hawqlang.stages.resolve.quantize import Declarations, build, build_name
from hawqlang.stages.resolve.report import Sink
from hawqlang.stages.resolve.scope import Constant, Context
from hawqlang.stages.resolve.targets import target

if TYPE_CHECKING:
    from hawqlang.stages.resolve.memory import Memory

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller says about a spec."""

    overrides: Mapping[str, str]
    """``--set`` values by param."""
    trust: bool
    """Whether ``python(…)`` is allowed."""


@dataclass(slots=True)
class _Run:
    """Everything found so far."""

    sink: Sink
    files: tuple[SourceFile, ...]
    spaces: Namespace
    contexts: dict[Path, Context]
    params: dict[str, Resolved]
    models: dict[str, spec.Model] = field(default_factory=dict[str, spec.Model])
    datasets: dict[str, spec.Dataset] = field(default_factory=dict[str, spec.Dataset])
    targets: dict[str, spec.Target] = field(default_factory=dict[str, spec.Target])
    builds: list[spec.Build] = field(default_factory=list[spec.Build])
    deferred: list[spec.Deferred] = field(default_factory=list[spec.Deferred])


def assemble(
    main: SourceFile,
    home: Home,
    given: Given,
    sink: Sink,
    index: Index,
    memory: Memory | None = None,
) -> spec.Spec:
    """Return the spec of a main file; it is meaningless where the sink has errors.

    Args:
        main: The main file, its imports loaded.
        home: The project.
        given: What the caller says about the spec.
        sink: Takes what is wrong.
        index: Takes what is learned on the way.
        memory: Keeps builds for the next run of the same file.

    Raises:
        ToolError: where an override names no param.
    """
    files = tuple(main.reached())
    spaces = namespace(files, sink)
    run = _Run(sink, files, spaces, {}, _params(spaces, given.overrides, sink))
    index.files = files
    index.names |= spaces.names
    index.nodes |= spaces.nodes
    index.visible |= {file.shown: frozenset(spaces.by_file[file.real]) for file in files}
    index.params |= {name: resolved.value for name, resolved in run.params.items()}
    constants = {name: _constant(run.params, name) for name in spaces.nodes}
    for file in files:
        run.contexts[file.real] = Context(
            sink=sink,
            file=file.shown,
            folder=file.folder,
            lines=tuple(file.tree.text.split("\n")),
            names=spaces.by_file[file.real],
            elsewhere=spaces.names,
            params=constants,
            trust=given.trust,
            fence=home.folder if home.closed else None,
            index=index,
        )
    for file in files:
        for item in file.tree.items:
            if isinstance(item, syntax.Declaration) and spaces.nodes.get(item.name.text) is item:
                _declare(item, file, run)
    index.models, index.targets = run.models, run.targets
    _builds(main, run, memory)
    index.builds |= {found.name: found for found in run.builds}
    library = not any(isinstance(item, syntax.QuantizeDecl) for item in main.tree.items)
    used = run.contexts[main.real].used
    if not library and not sink.errors:
        warn_unused(main, spaces, used, sink)
    _missing(run, set(spaces.by_file[main.real]) if library else used)
    return spec.Spec(
        version=1,
        file=main.shown,
        root=str(home.folder),
        sources=tuple((file.recorded, file.digest) for file in files),
        params=tuple(resolved.value for resolved in run.params.values()),
        builds=tuple(run.builds),
        deferred=tuple(run.deferred),
        models=tuple(run.models.values()),
        datasets=tuple(run.datasets.values()),
        targets=tuple(run.targets.values()),
    )


def _params(spaces: Namespace, overrides: Mapping[str, str], sink: Sink) -> dict[str, Resolved]:
    nodes = {name: node for name, node in spaces.nodes.items() if isinstance(node, syntax.Param)}
    if not sink.partial:
        check_overrides(overrides, nodes)
    found: dict[str, Resolved] = {}
    for name, node in nodes.items():
        resolved = sink.attempt(param, node, overrides.get(name), partial=sink.partial)
        if resolved is not None:
            found[name] = resolved
    return found


def _constant(params: Mapping[str, Resolved], name: str) -> Constant | None:
    resolved = params.get(name)
    return resolved.constant if resolved is not None else None


def _declare(item: syntax.Declaration, file: SourceFile, run: _Run) -> None:
    """Resolve one declaration and keep it under its name."""
    ctx = run.contexts[file.real]
    name = item.name.text
    match item.kind:
        case "model":
            _keep(run.models, name, run.sink.attempt(model, item, ctx))
        case "dataset":
            _keep(run.datasets, name, run.sink.attempt(dataset, item, ctx))
        case "target":
            catalogue = _catalogue_name(file)
            _keep(run.targets, name, run.sink.attempt(target, item, ctx, catalogue))


def _keep(table: dict[str, _T], name: str, value: _T | None) -> None:
    if value is not None:
        table[name] = value


def _catalogue_name(file: SourceFile) -> str | None:
    """Return the device that a shipped target file describes."""
    if file.std and file.recorded.startswith("std/targets/"):
        return file.real.stem.replace("_", ".", 1)
    return None


def _builds(main: SourceFile, run: _Run, memory: Memory | None) -> None:
    declared = Declarations(run.models, run.datasets, run.targets)
    places: dict[str, Span] = {}

    def resolve_build(node: syntax.QuantizeDecl, ctx: Context) -> spec.Build:
        return build(node, ctx, declared)

    if memory is not None:
        memory.begin(run.sink, run.contexts[main.real], declared)
    for node in main.tree.items:
        if not isinstance(node, syntax.QuantizeDecl):
            continue
        name = build_name(node)
        if name.text in places:
            message = f"two builds are called `{name.text}`"
            run.sink.reject(same_name(message, name.span, places[name.text]))
        places.setdefault(name.text, name.span)
        ctx = run.contexts[main.real].collecting()
        if memory is None:
            found = run.sink.attempt(build, node, ctx, declared)
        else:
            found = memory.build(node, ctx, resolve_build)
        if found is None:
            continue
        run.builds.append(found)
        run.deferred += [
            spec.Deferred(build=found.name, what=what, span=span) for what, span in ctx.deferrals
        ]


def _missing(run: _Run, used: set[str]) -> None:
    """Warn about files that are not there, of everything that is used."""
    found = [
        *(d for n, m in run.models.items() if n in used for d in missing_of_model(m)),
        *(d for n, s in run.datasets.items() if n in used for d in missing_of_dataset(s)),
        *(d for n, t in run.targets.items() if n in used for d in missing_of_target(t)),
        *(d for found in run.builds for d in missing_files(found)),
    ]
    for diagnostic in found:
        run.sink.warn(diagnostic)
