"""Model declarations and ONNX files for tests of the importer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hawqlang.base import Span
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import (
    ImageInput,
    Input,
    Model,
    OnnxSource,
    Source,
    TensorInput,
    WeightFile,
    ZooSource,
)
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model import import_model

Array = npt.NDArray[Any]

SPAN = Span(file="net.hawq", line=4, column=3, end_line=4, end_column=9)
INPUT_SPAN = Span(file="net.hawq", line=5, column=3, end_line=5, end_column=9)


def image(height: int, width: int, channels: int = 3) -> ImageInput:
    """An image input that the network sees as it is."""
    return ImageInput(
        height=height,
        width=width,
        channels=channels,
        mean=(Fraction(0),) * channels,
        std=(Fraction(1),) * channels,
        scale=Fraction(1),
    )


def vector(*dims: int) -> TensorInput:
    """A tensor input."""
    return TensorInput(dims=dims, low=Fraction(-1), high=Fraction(1))


def model_of(
    source: Source, kind: Input | None, weights: Path | None = None, sha256: str | None = None
) -> Model:
    """A model declaration."""
    file = None if weights is None else WeightFile(path=str(weights), sha256=sha256, span=SPAN)
    return Model(
        name="net",
        source=source,
        weights=file,
        input=kind,
        span=SPAN,
        source_span=SPAN,
        input_span=INPUT_SPAN,
    )


Arguments = Mapping[str, Fraction | str | bool]


def zoo_model(
    name: str, kind: Input, arguments: Arguments | None = None, weights: Path | None = None
) -> Model:
    """A model of the zoo."""
    given = tuple((arguments or {}).items())
    return model_of(ZooSource(name=name, arguments=given), kind, weights)


def onnx_model(path: Path, kind: Input, weights: Path | None = None) -> Model:
    """A model in an ONNX file."""
    return model_of(OnnxSource(path=str(path)), kind, weights)


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str | None],
    constants: dict[str, Array] | None = None,
    *,
    opset: int = 17,
    output: str = "y",
    element: int = TensorProto.FLOAT,
) -> Path:
    """Write an ONNX file that reads ``x`` and gives ``output``."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save_model(made, path)
    return path


def export(
    net: nn.Module, path: Path, shape: Sequence[int], *, opset: int = 17, preserve: bool = False
) -> Path:
    """Export a module for any batch, as users do; ``preserve`` leaves batch norms in place."""
    mode = torch.onnx.TrainingMode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (torch.zeros(2, *shape),),
            str(path),
            dynamo=False,
            opset_version=opset,
            training=mode.PRESERVE if preserve else mode.EVAL,
            do_constant_folding=not preserve,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )
    return path


def run_onnxruntime(path: Path, x: Array) -> Array:
    """The output of an ONNX file in ONNX Runtime."""
    options = cast("Any", ort).SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def run_graph(graph: Graph, store: TensorStore, x: Array) -> Array:
    """The logits of an imported graph."""
    with torch.inference_mode():
        return FloatModel(graph, store).forward(torch.from_numpy(x)).numpy()


def imported(model: Model) -> tuple[Graph, TensorStore]:
    """The graph of a model with its weights."""
    store = TensorStore()
    return import_model(model, store), store


def refusals(error: HawqError) -> list[str]:
    """Code and message of each diagnostic."""
    return [f"{d.code}: {d.message}" for d in error.diagnostics]


def only(error: HawqError) -> Diagnostic:
    """The one diagnostic of an error."""
    (found,) = error.diagnostics
    return found


def randomise(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight and statistic of a module a value that matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            elif value.is_floating_point():
                fan = max(1, value[0].numel() if value.ndim > 1 else 4)
                value.copy_(torch.randn(value.shape, generator=generator) * fan**-0.5)
            if name.endswith(("bn.weight", ".1.weight")) and value.ndim == 1:
                value.abs_()
    return net.eval()
