"""The ONNX operators that are read: what each becomes in the draft.

A rule takes the translator, the node and the name the node goes by, and gives the flows of its outputs. What it cannot
express exactly it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hawqlang.stages.import_model.onnx import (
    activations,
    computing,
    moving,
    pooling,
    quantized,
    resizing,
)
from hawqlang.stages.import_model.onnx.model import OnnxNode
from hawqlang.stages.import_model.onnx.translator import Operand, Translator

Rule = Callable[[Translator, OnnxNode, str], Operand | list[Operand]]

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(activations.FUNCTIONS, activations.function),
    "Add": computing.add,
    "ArgMax": computing.choice,
    "AveragePool": pooling.average_pool,
    "BatchNormalization": computing.batch_norm,
    "Cast": computing.same,
    "CastLike": computing.cast_like,
    "Clip": computing.clip,
    "Concat": moving.concat,
    "Conv": computing.conv,
    "ConvTranspose": resizing.transposed_conv,
    "DepthToSpace": resizing.depth_to_space,
    "DequantizeLinear": quantized.dequantize,
    "Div": computing.affine,
    "Dropout": computing.dropout,
    "Expand": moving.expand,
    "Flatten": moving.flatten,
    "Gather": moving.gather,
    "Gemm": computing.gemm,
    "GlobalAveragePool": pooling.global_average,
    "GlobalMaxPool": pooling.global_max,
    "Identity": computing.same,
    "Log": computing.log,
    "LogSoftmax": computing.softmax,
    "MatMul": computing.matmul,
    "Max": computing.bound,
    "MaxPool": pooling.max_pool,
    "Min": computing.bound,
    "Mul": activations.multiply,
    "Neg": activations.negated,
    "PRelu": activations.prelu,
    "Pad": moving.pad,
    "Pow": activations.power,
    "QuantizeLinear": quantized.quantize,
    "ReduceMax": pooling.reduce_max,
    "ReduceMean": pooling.reduce_mean,
    "Relu": computing.relu,
    "Reshape": moving.reshape,
    "Resize": resizing.resize,
    "Shape": moving.shape,
    "Size": moving.size,
    "Slice": moving.slice_,
    "Softmax": computing.softmax,
    "SpaceToDepth": resizing.space_to_depth,
    "Split": moving.split,
    "Squeeze": moving.squeeze,
    "Sub": activations.subtract,
    "Tile": moving.tile,
    "TopK": computing.choice,
    "Transpose": moving.transpose,
    "Unsqueeze": moving.unsqueeze,
}
