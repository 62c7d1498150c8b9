"""Runs an integer program exactly: the oracle for every back end."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np

from hawqlang.cache import TensorStore
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Frame, evaluate, reads
from hawqlang.ops.frame import Array


def interpret(
    program: IntegerProgram,
    store: TensorStore,
    images: Array,
    *,
    keep: Collection[str] | Literal["all"] = (),
) -> dict[str, Array]:
    """Return the logits and the tensors named in ``keep``, each as int8, uint8 or int32 with the batch in front.

    Tensors die after their last reader, so memory stays near what the widest step needs.

    Args:
        program: A verified program.
        store: Holds its constants.
        images: uint8 ``(N, H, W, C)`` pixels or codes.
        keep: Names of stored tensors to return beside the output, or all of them.
    """
    tensors = {tensor.name: tensor for tensor in program.tensors}
    expected = tensors[program.input].shape
    if images.dtype != np.uint8 or images.shape[1:] != expected:
        raise ValueError(f"input is {images.dtype}{images.shape[1:]}, not uint8{expected}")
    last = {name: i for i, op in enumerate(program.ops) for name in reads(op)}
    wanted = set(tensors) if keep == "all" else {program.output, *keep}
    live: dict[str, Array] = {program.input: images}
    kept: dict[str, Array] = {n: a for n, a in live.items() if n in wanted}
    for i, op in enumerate(program.ops):
        results = evaluate(op, Frame(live, tensors, store.get))
        live.update(results)
        kept.update((name, array) for name, array in results.items() if name in wanted)
        for name in (*reads(op), *results):
            if last.get(name, i) == i:
                live.pop(name, None)
    return kept


def logits(program: IntegerProgram, store: TensorStore, images: Array, *, batch: int = 16) -> Array:
    """Return int32 logits ``(N, F)``, running at most ``batch`` images at a time."""
    parts = [
        interpret(program, store, images[start : start + batch])[program.output]
        for start in range(0, images.shape[0], batch)
    ]
    return np.concatenate(parts)
