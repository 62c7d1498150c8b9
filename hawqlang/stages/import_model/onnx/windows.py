"""Kernel, stride, dilation and padding of ONNX convolutions and pools."""

from __future__ import annotations

from hawqlang.ir.graph import Pads
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Translator
from hawqlang.stages.import_model.windows import Pair, same_padding

Window = tuple[Pair, Pair, Pair]
"""Kernel, stride and dilation."""


def window_of(node: OnnxNode) -> Window:
    """Return the window of a pool."""
    kernel = node.integers("kernel_shape")
    if kernel is None or len(kernel) != 2 or min(kernel) < 1:
        raise RefusedError(
            f"its window has {len(kernel or ())} axes", "two-dimensional pooling is supported"
        )
    return (kernel[0], kernel[1]), pair_of(node, "strides"), pair_of(node, "dilations")


def pair_of(node: OnnxNode, attribute: str) -> Pair:
    """Return an attribute for height and width; 1 and 1 where it is not given."""
    values = node.integers(attribute) or (1, 1)
    if len(values) != 2 or min(values) < 1:
        raise RefusedError(
            f"its {attribute} are {list(values)}", "two positive numbers are expected"
        )
    return values[0], values[1]


def padding_of(t: Translator, node: OnnxNode, x: str, window: Window) -> Pads:
    """Return the padding of a convolution or pool, ``auto_pad`` worked out."""
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        upper = mode == "SAME_UPPER"
        return same_padding(t.builder.shapes[x][1:], *window, upper=upper)
    if mode not in ("NOTSET", "VALID"):
        raise RefusedError(f"its auto_pad is '{mode}'")
    written = node.integers("pads") if mode == "NOTSET" else None
    written = written or (0, 0, 0, 0)
    if len(written) != 4 or min(written) < 0:
        raise RefusedError(f"its pads are {list(written)}", "four numbers from 0 are expected")
    return written[0], written[1], written[2], written[3]
