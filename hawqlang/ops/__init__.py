"""The integer operators: one file per op with its type, shape rule, legality, meaning and cost."""

from hawqlang.ops.add import Add, AddStore
from hawqlang.ops.affine import Affine
from hawqlang.ops.avgpool2d import AvgPool2d
from hawqlang.ops.conv2d import Conv2d
from hawqlang.ops.linear import Linear
from hawqlang.ops.maxpool2d import MaxPool2d
from hawqlang.ops.moves import Concat, Pad, Reshape, Slice
from hawqlang.ops.stores import Addend, Store

OPS = (Affine, Conv2d, Linear, Add, MaxPool2d, AvgPool2d, Concat, Pad, Slice, Reshape)
"""Every integer operator."""

__all__ = [
    "OPS",
    "Add",
    "AddStore",
    "Addend",
    "Affine",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "Linear",
    "MaxPool2d",
    "Pad",
    "Reshape",
    "Slice",
    "Store",
]
