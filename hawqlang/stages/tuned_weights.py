"""Integer weights that a step decided on, on their way into the cache and out of it."""

from __future__ import annotations

from hawqlang.cache import TensorStore
from hawqlang.ir.tuning import LayerWeight
from hawqlang.stages.quantize import QuantizedWeight


def kept_weight(store: TensorStore, layer: str, weight: QuantizedWeight) -> LayerWeight:
    """Return a layer's weight as a noun; the store takes its arrays."""
    return LayerWeight(
        layer=layer,
        q=store.put(weight.q),
        scale=store.put(weight.scale),
        zero=None if weight.zero is None else store.put(weight.zero),
        multiple=None if weight.multiple is None else store.put(weight.multiple),
        group=weight.group,
    )


def given_weight(store: TensorStore, row: LayerWeight) -> QuantizedWeight:
    """Return the weight that :func:`kept_weight` kept."""
    return QuantizedWeight(
        store.get(row.q),
        store.get(row.scale),
        None if row.zero is None else store.get(row.zero),
        None if row.multiple is None else store.get(row.multiple),
        row.group,
    )
