"""The layers of the models that a spec names, as far as the disk tells without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hawqlang.base import Precision
from hawqlang.cache import Cache
from hawqlang.diagnostics import HawqError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import Layer, LayerTable
from hawqlang.ir.spec import Build, LayersSource, Model, OnnxSource, Selector
from hawqlang.lsp.workspace import Snapshot
from hawqlang.resources import cache_dir
from hawqlang.stages.candidates import select
from hawqlang.stages.feasibility import layers_of, offered
from hawqlang.stages.lock.keep import read_lock
from hawqlang.stages.lock.origin import SUFFIX
from hawqlang.stages.parse.tokens import Token

_TABLES: dict[object, LayerTable | None] = {}
"""Tables by model and the state of its file; a handful of models are open at a time."""
_KEPT = 32


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a ``quantize`` block says, right or wrong."""

    model: str
    target: str
    build: str


def head_of(tokens: tuple[Token, ...]) -> Head | None:
    """Return what the tokens of a head say; ``None`` where it is none of a ``quantize`` block."""
    words = [token.text for token in tokens]
    if len(words) < 2 or words[0] != "quantize":
        return None
    behind = dict(zip(words[2::2], words[3::2], strict=False))
    return Head(words[1], behind.get("on", ""), behind.get("as", words[1]))


def table_of(snapshot: Snapshot, head: Head) -> LayerTable | None:
    """Return the layers that selectors of a block speak of; ``None`` where they are not known."""
    if snapshot.resolution is None:
        return None
    index = snapshot.resolution.index
    build, model, target = (
        index.builds.get(head.build),
        index.models.get(head.model),
        index.targets.get(head.target),
    )
    if model is None:
        return None
    batch = 1 if target is None else target.batch
    residual = 8 if build is None else build.residual
    key = (model.source, model.input, batch, residual, _state(model))
    if key not in _TABLES:
        while len(_TABLES) >= _KEPT:
            del _TABLES[next(iter(_TABLES))]
        try:
            _TABLES[key] = layers_of(model, batch, residual)
        except HawqError:
            _TABLES[key] = None
    return _TABLES[key]


def _state(model: Model) -> tuple[int, int] | None:
    if not isinstance(model.source, OnnxSource | LayersSource):
        return None
    with suppress(OSError):
        found = Path(model.source.path).stat()
        return found.st_mtime_ns, found.st_size
    return None


def matched(selector: Selector, table: LayerTable) -> tuple[Layer, ...] | None:
    """Return the layers that a selector means; ``None`` where it matches none."""
    try:
        names = set(select(selector, table))
    except HawqError:
        return None
    return tuple(layer for layer in table.layers if layer.name in names)


def candidates_of(build: Build, table: LayerTable) -> CandidateTable | None:
    """Return what each layer may take, with its sensitivities where they are cached."""
    try:
        return offered(build, table)
    except HawqError:
        return None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier runs found about one layer."""

    chosen: Precision | None
    """The precision of the last build, from the lock."""
    sensitivity: Mapping[Precision, float]


def earlier_of(snapshot: Snapshot, head: Head, layer: Layer) -> Earlier:
    """Return what the lock says about a layer, else what the cache does."""
    try:
        entry = read_lock(Path(snapshot.shown + SUFFIX)).entry(head.build)
    except (HawqError, OSError):
        entry = None
    for locked in () if entry is None else entry.layers:
        if locked.name == layer.name and locked.sensitivity:
            return Earlier(locked.precision, dict(locked.sensitivity))
    chosen = None if entry is None else entry.allocation().get(layer.name)
    return Earlier(chosen, dict(layer.sensitivity) or _cached(snapshot, head, layer))


def _cached(snapshot: Snapshot, head: Head, layer: Layer) -> dict[Precision, float]:
    resolution, table = snapshot.resolution, table_of(snapshot, head)
    build = None if resolution is None else resolution.index.builds.get(head.build)
    if build is None or table is None:
        return {}
    from hawqlang.stages.analysed import recall

    found = recall(build, table, Cache(cache_dir()))
    rows = () if found is None else found.sensitivities.layers
    own = next((row.values for row in rows if row.layer == layer.name), ())
    return dict(own)
