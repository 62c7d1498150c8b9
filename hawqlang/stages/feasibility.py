"""What `check` can prove of a build without reading weights or data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from hawqlang import __version__
from hawqlang.cache import Cache, digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.diagnostics.ignore import apply_ignores
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import (
    Build,
    LayersSource,
    Model,
    OnnxSource,
    ProfileLatency,
    Pt2Source,
    PythonCall,
    Spec,
)
from hawqlang.resources import cache_dir
from hawqlang.stages.allocate.feasibility import AT_BUILD, feasible
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.predicates import metrics_of
from hawqlang.stages.deferred import deferred
from hawqlang.stages.measurable import not_measurable


def feasibility(build: Build) -> Iterator[Diagnostic]:
    """Yield what is wrong with a build's constraints, and one note of what could not be checked.

    A model or a profile that is not there has been reported by resolve; its build is skipped.
    """
    latency = build.target.latency
    if isinstance(latency, ProfileLatency) and not Path(latency.path).exists():
        return
    refused = not_measurable(build) if latency == "measured" else None
    if refused is not None:
        yield refused
        return
    try:
        table = layers_of(build.model, build.target.batch, build.residual)
        if table is None:
            return
        allowed = offered(build, table)
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


def offered(build: Build, table: LayerTable) -> CandidateTable:
    """Return the candidates of every layer: with what was measured where a constraint asks for it and it is cached."""
    given = any(layer.sensitivity or layer.latency_us for layer in table.layers)
    if given or not asks_for_measurements(build):
        return candidates(build, table, None)
    from hawqlang.stages.analysed import recall

    known = recall(build, table, Cache(cache_dir()))
    return candidates(build, table, None) if known is None else known.candidates(build, table)


def asks_for_measurements(build: Build) -> bool:
    """Return whether a constraint is decided by what only an analysis measures."""
    asked = {metric for one in build.constraints for metric in metrics_of(one.predicate)}
    return "perturbation" in asked or (build.target.latency == "measured" and "latency" in asked)


def findings(spec: Spec, builds: Iterable[Build]) -> tuple[Diagnostic, ...]:
    """Return what is wrong with builds beyond what resolving finds, without what comments silence."""
    found = [d for one in builds for d in (*deferred(spec, one, "note"), *feasibility(one))]
    return apply_ignores(found, spec.ignores, judge="5")


def layers_of(model: Model, batch: int, residual: int) -> LayerTable | None:
    """Return the layers of a model; ``None`` where it cannot be read without running or having it.

    Args:
        model: The model.
        batch: Samples in one run.
        residual: Bits of a stored tensor that an addition reads.

    Raises:
        HawqError: The model cannot be imported.
    """
    source = model.source
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
            key = digest("layers", __version__, content, (model.input, batch, residual))
            return Cache(cache_dir()).step(
                key, LayerTable, lambda: _derived(model, batch, residual)
            )
        case _:
            return _derived(model, batch, residual)


def _derived(model: Model, batch: int, residual: int) -> LayerTable:
    from hawqlang.stages.import_model import import_structure
    from hawqlang.stages.import_model.layer_table import network_table

    graph = import_structure(model, batch=batch)
    return network_table(graph, model, residual=residual)
