"""Files that are quantized already give the float network they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from hawqlang.diagnostics import HawqError
from hawqlang.ir.graph import Clamp
from hawqlang.stages.import_model import import_structure
from hawqlang.stages.import_model.onnx.quantized import NOTE
from tests.support.imports import (
    Array,
    image,
    imported,
    only,
    onnx_model,
    run_graph,
    run_onnxruntime,
    save_graph,
)

RNG = np.random.default_rng(5)
INT8 = RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
SCALES = np.array([0.001, 0.002, 0.0005, 0.003], dtype=np.float32)


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        op, inputs.split(","), [output], name=f"/net/{op}_{output}", **attributes
    )


def constants(zero: int, high: float) -> dict[str, Array]:
    bias = RNG.integers(-500, 500, 4).astype(np.int32)
    return {
        "conv.weight_quantized": INT8,
        "ws": SCALES,
        "wz": np.zeros(4, np.int8),
        "bias": bias,
        "bs": SCALES * np.float32(0.02),
        "bz": np.zeros(4, np.int32),
        "xs": np.float32(0.02),
        "xz": np.uint8(128),
        "ys": np.float32(high / (255 - zero)),
        "yz": np.uint8(zero),
    }


NODES = [
    node("QuantizeLinear", "x,xs,xz", "q"),
    node("DequantizeLinear", "q,xs,xz", "d"),
    node("DequantizeLinear", "conv.weight_quantized,ws,wz", "w", axis=0),
    node("DequantizeLinear", "bias,bs,bz", "b", axis=0),
    node("Conv", "d,w,b", "c", pads=[1, 1, 1, 1]),
    node("QuantizeLinear", "c,ys,yz", "cq"),
    node("DequantizeLinear", "cq,ys,yz", "z"),
    node("GlobalAveragePool", "z", "gap"),
    node("Flatten", "gap", "y"),
]


@pytest.mark.parametrize(
    ("zero", "high", "bounds"),
    [(0, 9.0, (0.0, None)), (0, 6.0, (0.0, 6.0)), (100, 9.0, None)],
)
def test_float_network_is_recovered(
    zero: int, high: float, bounds: tuple[float, float | None] | None, tmp_path: Path
) -> None:
    path = save_graph(tmp_path / "n.onnx", NODES, ("n", 3, 6, 6), constants(zero, high))
    graph, store = imported(onnx_model(path, image(6, 6)))
    assert graph.notes == (NOTE,)
    assert graph.nodes[0].name == "conv"
    found = [(n.low, n.high) for n in graph.nodes if isinstance(n, Clamp)]
    assert found == ([] if bounds is None else [bounds])
    weight = next(p for p in graph.parameters if p.name == "conv.weight")
    assert weight.ref is not None
    np.testing.assert_array_equal(
        store.get(weight.ref), (INT8 * SCALES.astype(np.float64).reshape(4, 1, 1, 1)).astype("f4")
    )
    x = (RNG.integers(-100, 100, (2, 3, 6, 6)) * 0.02).astype(np.float32)
    expected = run_onnxruntime(path, x)
    np.testing.assert_allclose(run_graph(graph, store, x), expected, atol=0.5 * high / (255 - zero))


def test_weights_rounded_in_the_file_are_taken_unrounded(tmp_path: Path) -> None:
    weight = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        node("QuantizeLinear", "conv.weight,s,z", "wq"),
        node("DequantizeLinear", "wq,s,z", "w"),
        node("Conv", "x,w", "c"),
        node("GlobalAveragePool", "c", "gap"),
        node("Flatten", "gap", "y"),
    ]
    given = {"conv.weight": weight, "s": np.float32(0.1), "z": np.int8(0)}
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 3, 6, 6), given)
    graph, store = imported(onnx_model(path, image(6, 6)))
    assert graph.nodes[0].name == "conv"
    ref = graph.parameters[0].ref
    assert ref is not None
    np.testing.assert_array_equal(store.get(ref), weight)


def test_a_range_from_0_behind_a_relu_adds_nothing(tmp_path: Path) -> None:
    nodes = [
        node("Relu", "x", "r"),
        node("MaxPool", "r", "m", kernel_shape=[2, 2]),
        node("QuantizeLinear", "m,s,z", "q"),
        node("DequantizeLinear", "q,s,z", "d"),
        node("GlobalAveragePool", "d", "gap"),
        node("Flatten", "gap", "y"),
    ]
    given: dict[str, Array] = {"s": np.asarray(np.float32(0.1)), "z": np.asarray(np.uint8(0))}
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 3, 6, 6), given)
    graph = import_structure(onnx_model(path, image(6, 6)))
    assert [n.op for n in graph.nodes].count("clamp") == 1


def test_integer_operators_of_the_older_form_say_what_to_give(tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", "x,s,z", "q"),
        node("QLinearConv", "q,s,z,w,s,z,s,z", "c"),
        node("DequantizeLinear", "c,s,z", "d"),
        node("Flatten", "d", "y"),
    ]
    given: dict[str, Array] = {
        "s": np.asarray(np.float32(0.1)),
        "z": np.asarray(np.int8(0)),
        "w": INT8,
    }
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 3, 6, 6), given)
    with pytest.raises(HawqError) as caught:
        import_structure(onnx_model(path, image(6, 6)))
    found = only(caught.value)
    assert found.code == "HQ320"
    assert found.help is not None
    assert "QDQ" in found.help
