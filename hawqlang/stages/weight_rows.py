"""Integer weights between steps: arrays in the store, and rows that name them."""

from __future__ import annotations

from hawqlang.cache import TensorStore
from hawqlang.ir.tuning import LayerWeight
from hawqlang.stages.quantize import QuantizedWeight


def weight_row(layer: str, weight: QuantizedWeight, store: TensorStore) -> LayerWeight:
    """Return the row of a layer's weight, whose arrays are in ``store`` from now on."""
    return LayerWeight(
        layer=layer,
        q=store.put(weight.q),
        scale=store.put(weight.scale),
        zero=None if weight.zero is None else store.put(weight.zero),
        multiple=None if weight.multiple is None else store.put(weight.multiple),
        group=weight.group,
    )


def weight_of(row: LayerWeight, store: TensorStore) -> QuantizedWeight:
    """Return the weight that a row names."""
    return QuantizedWeight(
        store.get(row.q),
        store.get(row.scale),
        None if row.zero is None else store.get(row.zero),
        None if row.multiple is None else store.get(row.multiple),
        row.group,
    )
