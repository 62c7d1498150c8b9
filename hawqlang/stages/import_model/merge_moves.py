"""Merges a slice of a slice into one slice, and padding of padding into one: exporters write one per axis."""

from __future__ import annotations

from hawqlang.ir.graph import Pad, Slice
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.rewrite import Rewriter


def merge_moves(draft: Draft) -> Draft:
    """Return the draft with each run of slices, and of pads, made one where nothing else reads between."""
    rewriter = Rewriter(draft)
    for node in rewriter:
        if not isinstance(node, Slice | Pad) or not rewriter.read_once(node.x):
            continue
        above = rewriter.producer(node.x)
        if isinstance(node, Slice) and isinstance(above, Slice):
            rewriter.replace(node, _sliced(above, node))
            rewriter.bypass(above)
        elif isinstance(node, Pad) and isinstance(above, Pad):
            rewriter.replace(node, _padded(above, node))
            rewriter.bypass(above)
    return rewriter.draft()


def _sliced(first: Slice, second: Slice) -> Slice:
    """Return ``second`` of ``first`` as one slice: element ``i`` of it is ``start + (start' + i·step')·step``."""
    axes = list(
        zip(
            (range(*bounds) for bounds in zip(first.start, first.stop, first.step, strict=True)),
            (slice(*bounds) for bounds in zip(second.start, second.stop, second.step, strict=True)),
            strict=True,
        )
    )
    taken = [whole[part] for whole, part in axes]
    return second.replace(
        start=tuple(r.start for r in taken),
        stop=tuple(r[-1] + 1 for r in taken),
        step=tuple(r.step for r in taken),
    )


def _padded(first: Pad, second: Pad) -> Pad:
    top, left, bottom, right = (a + b for a, b in zip(first.padding, second.padding, strict=True))
    front, back = (a + b for a, b in zip(first.channels, second.channels, strict=True))
    return second.replace(channels=(front, back), padding=(top, left, bottom, right))
