"""What an analysis measured, found again by the files it came from: `check` uses it without importing torch.

The step cache is keyed by what a network *is*, which only importing it can tell. This index is keyed by the bytes of
the files that a spec names and by the settings that the measurement depends on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hawqlang import __version__
from hawqlang.base import Frozen, Precision
from hawqlang.cache import Cache, digest
from hawqlang.diagnostics import HawqError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.profile import Profile
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import Build, FileSensitivity, OnnxSource, Pt2Source, ZooSource
from hawqlang.stages.candidates import candidates, settings

EXTERNAL = b"\n\x08location\x12"
"""Stands in an ONNX file whose parameters lie in other files (the key of such an entry): an index by the file alone
would miss a change there."""


class Analysed(Frozen):
    """What candidates depend on and only a measurement tells."""

    sensitivities: SensitivityTable
    dropped: tuple[tuple[str, Precision, str], ...]
    """Layer, precision, reason: candidates whose accumulators could overflow."""
    profile: Profile | None = None
    """Where the target's latencies are measured."""

    def candidates(self, build: Build, table: LayerTable) -> CandidateTable:
        """Return the candidates of every layer, as the analysis had them."""
        refused = {(layer, precision): why for layer, precision, why in self.dropped}
        return candidates(
            build,
            table,
            self.sensitivities,
            legality=lambda layer, precision: refused.get((layer, precision)),
            profile=self.profile,
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """What an analysis measured, and the candidates that came of it."""

    sensitivities: SensitivityTable
    candidates: CandidateTable
    profile: Profile | None


def keep(build: Build, table: LayerTable, samples: str, found: Measured, cache: Cache) -> None:
    """Keep what an analysis measured; a cache that cannot be written costs time, never the result.

    Args:
        build: what was analysed.
        table: its layers.
        samples: digest of the calibration samples.
        found: what was measured.
        cache: where to keep it.
    """
    dropped = tuple(
        (own.layer, precision, why)
        for own in found.candidates.layers
        for precision, why in own.dropped
    )
    known = Analysed(sensitivities=found.sensitivities, dropped=dropped, profile=found.profile)
    with suppress(OSError):
        key = _key(build, table, samples)
        if key is not None:
            cache.save(key, known)


def recall(build: Build, table: LayerTable, cache: Cache) -> Analysed | None:
    """Return what an earlier analysis of the same files under the same settings measured.

    ``None`` where there was none, or a file that it would need cannot be read.
    """
    from hawqlang.stages.data import data_digest

    data = None if build.dataset is None else build.dataset.calibration
    if data is None or build.model.input is None:
        return None
    try:
        key = _key(build, table, data_digest(data, build.model.input))
    except (OSError, HawqError):
        return None
    return None if key is None else cache.load(key, Analysed)


def _key(build: Build, table: LayerTable, samples: str) -> str | None:
    """Return what the measurement depends on; ``None`` where the files alone cannot tell."""
    files = tuple(_model(build))
    if not files:
        return None
    method = build.sensitivity
    timed = build.target.threads if build.target.latency == "measured" else None
    return digest(
        "analysed",
        __version__,
        files,
        _file(Path(method.path)) if isinstance(method, FileSensitivity) else method,
        build.model.input,
        samples,
        settings(build, table),
        build.activations,
        (build.residual, build.effort, build.seed, build.target.batch),
        *(() if timed is None else (timed,)),
    )


def _model(build: Build) -> Iterator[object]:
    """Yield what tells one model from another; nothing where its files do not."""
    source, weights = build.model.source, build.model.weights
    match source:
        case OnnxSource():
            if EXTERNAL in Path(source.path).read_bytes():
                return
            yield _file(Path(source.path))
        case Pt2Source():
            yield _file(Path(source.path))
        case ZooSource():
            yield source
        case _:
            return
    if weights is not None:
        yield _file(Path(weights.path))


def _file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
