"""The passes between a front end's draft and the graph, in order."""

from __future__ import annotations

from collections.abc import Callable

from hawqlang.stages.import_model.clamps import hoist_clamps, merge_clamps
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.fold_batchnorm import fold_batchnorm
from hawqlang.stages.import_model.merge_moves import merge_moves
from hawqlang.stages.import_model.merge_pads import merge_pads
from hawqlang.stages.import_model.merge_tables import merge_tables
from hawqlang.stages.import_model.rewrite import drop_dead

PASSES: tuple[Callable[[Draft], Draft], ...] = (
    drop_dead,
    fold_batchnorm,
    merge_tables,
    drop_dead,
    merge_clamps,
    hoist_clamps,
    merge_clamps,
    merge_moves,
    merge_pads,
)


def normalise(draft: Draft) -> Draft:
    """Return the draft after every pass; no pass reads a weight."""
    for step in PASSES:
        draft = step(draft)
    return draft
