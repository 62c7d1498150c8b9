"""LayerTable: the layers with weights, in execution order, and the structure that selectors speak of.

Derived from a graph, or read from a table that stands instead of a network (``layers(path)``).
"""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, Precision

LayerKind = Literal["conv", "depthwise", "linear", "other"]


class Layer(Frozen):
    """One layer with weights."""

    name: str
    kind: LayerKind
    params: int
    """Weights, without biases."""
    macs: int
    """Multiply-accumulates for one sample."""
    kernel: tuple[int, int] | None = None
    channels: int | None = None
    """Output channels."""
    input_elements: int | None = None
    """Elements of the tensor it reads, one sample; ``None`` where a layer table does not say."""
    output_elements: int | None = None
    sensitivity: tuple[tuple[Precision, float], ...] = ()
    """Only from a layer table."""
    latency_us: tuple[tuple[Precision, float], ...] = ()
    """Only from a layer table."""


class LiveTensor(Frozen):
    """A stored activation at one step of execution: its elements and the layer whose ``abits`` is its width.

    A tensor is stored once per distinct width: entries of one ``tensor`` whose widths a plan makes equal are one copy.
    """

    tensor: str
    elements: int
    reader: str | None
    """Layer name; ``None`` where the width is ``bits`` whatever the plan."""
    bits: int | None = None
    stored_bits: int | None = None
    """What each element takes where that is not the width: an int32 partial sum, stored once per width of the sum."""


class LayerTable(Frozen):
    """All layers of a network and their groups."""

    layers: tuple[Layer, ...]
    residual: tuple[tuple[str, ...], ...] = ()
    """Per addition, the layers whose outputs meet in it."""
    shared_input: tuple[tuple[str, ...], ...] = ()
    """Layers that read the same tensor, groups of two and more."""
    downsample: tuple[str, ...] = ()
    """The only layer of a shortcut branch."""
    live: tuple[tuple[LiveTensor, ...], ...] = ()
    """Per step of execution, the activations alive; empty for a layer table, which cannot say."""
    from_file: bool = False

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``."""
        return next(layer for layer in self.layers if layer.name == name)
