"""What `check` can prove of a build without reading weights or data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from hawqlang import __version__
from hawqlang.cache import Cache, digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build, LayersSource, OnnxSource, ProfileLatency, Pt2Source, PythonCall
from hawqlang.resources import cache_dir
from hawqlang.stages.allocate.feasibility import AT_BUILD, feasible
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.predicates import metrics_of


def feasibility(build: Build) -> Iterator[Diagnostic]:
    """Yield what is wrong with a build's constraints, and one note of what could not be checked.

    A model or a profile that is not there has been reported by resolve; its build is skipped.
    """
    latency = build.target.latency
    if isinstance(latency, ProfileLatency) and not Path(latency.path).exists():
        return
    try:
        table = _table(build)
        if table is None:
            return
        allowed = _allowed(build, table)
        yield from allowed.warnings
        found = feasible(build, table, allowed)
        yield from found.diagnostics
    except HawqError as error:
        yield from error.diagnostics
        return
    if found.skipped:
        yield Diagnostic(
            code="HQ831",
            severity="note",
            message=f"not checked for `{build.name}`: "
            + "; ".join(f"{name} ({why})" for name, why in found.skipped),
            span=build.span,
            help=_remedy(tuple(why for _, why in found.skipped)),
        )


def _remedy(reasons: tuple[str, ...]) -> str:
    if all(reason == AT_BUILD for reason in reasons):
        return "`hawqc build` runs the integer program to tell"
    return "`hawqc plan` measures what is missing; from then on it is checked too"


def _allowed(build: Build, table: LayerTable) -> CandidateTable:
    """Return the candidates of every layer: with sensitivities where a constraint asks for them and they are cached."""
    given = any(layer.sensitivity for layer in table.layers)
    asked = any("perturbation" in metrics_of(one.predicate) for one in build.constraints)
    if given or not asked:
        return candidates(build, table, None)
    from hawqlang.stages.analysed import recall

    known = recall(build, table, Cache(cache_dir()))
    return candidates(build, table, None) if known is None else known.candidates(build, table)


def _table(build: Build) -> LayerTable | None:
    """Return the layers of a build's model; ``None`` where it cannot be read without running or having it."""
    source = build.model.source
    match source:
        case LayersSource():
            from hawqlang.stages.import_model.layer_table import read_layer_table

            return read_layer_table(Path(source.path)) if Path(source.path).is_file() else None
        case OnnxSource() | Pt2Source() if not Path(source.path).is_file():
            return None
        case PythonCall():
            return None
        case OnnxSource() | Pt2Source():
            # Reading a file's structure takes time; a file that has not changed is not read again.
            content = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
            key = digest("layers", __version__, content, _keyed(build))
            return Cache(cache_dir()).step(key, LayerTable, lambda: _derived(build))
        case _:
            return _derived(build)


def _keyed(build: Build) -> tuple[object, ...]:
    """Return what a layer table depends on beside its model file."""
    return build.model.input, build.target.batch, build.residual


def _derived(build: Build) -> LayerTable:
    from hawqlang.stages.import_model import import_structure
    from hawqlang.stages.import_model.layer_table import network_table

    graph = import_structure(build.model, batch=build.target.batch)
    return network_table(graph, build.model, residual=build.residual)
