"""Files that are odd, damaged or hostile: read where they mean something, else told with place and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Graph
from hawqlang.stages.import_model import import_model, import_structure
from hawqlang.stages.import_model.layer_table import network_table
from tests.support.imports import Array, image, only, onnx_model, save_graph

WEIGHT = np.random.default_rng(1).standard_normal((4, 4, 1, 1)).astype(np.float32)


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        op, inputs.split(","), output.split(","), name=f"/net/{op}", **attributes
    )


TAIL = [node("GlobalAveragePool", "z", "gap"), node("Flatten", "gap", "y")]


def read(
    folder: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array] | None = None,
    shape: tuple[int | str, ...] = ("n", 4, 6, 6),
) -> Graph:
    path = save_graph(folder / "net.onnx", nodes, shape, constants or {"w": WEIGHT})
    return import_model(onnx_model(path, image(6, 6, 4)), TensorStore())


def refused(*arguments: Any, **settings: Any) -> Diagnostic:
    with pytest.raises(HawqError) as caught:
        read(*arguments, **settings)
    return only(caught.value)


def branch(name: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node("Relu", "x", name)], name, [], [value])


def test_control_flow_names_its_node_and_says_why(tmp_path: Path) -> None:
    choice = node("If", "c", "z", then_branch=branch("a"), else_branch=branch("b"))
    nodes = [node("ReduceMean", "x", "m", axes=[2, 3]), node("Flatten", "m", "c"), choice, *TAIL]
    found = refused(tmp_path, nodes)
    assert found.code == "HQ320"
    assert found.message == "node '/net/If' (If): operator 'If' is not supported"
    assert found.help is not None
    assert "the same operators for every input" in found.help


def test_loops_are_refused(tmp_path: Path) -> None:
    body = helper.make_graph([node("Relu", "x", "o")], "body", [], [])
    found = refused(tmp_path, [node("Loop", "n,,x", "z", body=body), *TAIL], {"n": np.int64(3)})
    assert found.code == "HQ320"
    assert "(Loop)" in found.message


def test_custom_operators_are_refused_with_what_to_do(tmp_path: Path) -> None:
    found = refused(tmp_path, [node("Fancy", "x", "z", domain="com.example"), *TAIL])
    assert "operator 'com.example.Fancy' is not supported" in found.message
    assert found.help is not None
    assert "replace custom operators" in found.help


@pytest.mark.parametrize("kind", [np.int32, np.complex64])
def test_weights_that_are_no_floats(kind: type[np.generic], tmp_path: Path) -> None:
    constants = {"w": WEIGHT.astype(kind)}
    found = refused(tmp_path, [node("Conv", "x,w", "z"), *TAIL], constants)
    assert found.code == "HQ309"
    assert f"'w' is of type {np.dtype(kind).name}" in found.message


def test_weights_in_bfloat16_are_read(tmp_path: Path) -> None:
    upper = WEIGHT.view(np.uint32) >> 16
    tensor = helper.make_tensor(
        "w", TensorProto.BFLOAT16, WEIGHT.shape, upper.astype(np.uint16).tobytes(), raw=True
    )
    path = save_graph(tmp_path / "n.onnx", [node("Conv", "x,w", "z"), *TAIL], ("n", 4, 6, 6))
    made = onnx.load_model(path)
    made.graph.initializer.append(tensor)
    onnx.save_model(made, path)
    store = TensorStore()
    graph = import_model(onnx_model(path, image(6, 6, 4)), store)
    ref = graph.parameters[0].ref
    assert ref is not None
    np.testing.assert_array_equal(store.get(ref), (upper << 16).view(np.float32))


def test_a_cycle_is_found_at_the_first_node_that_reads_ahead(tmp_path: Path) -> None:
    nodes = [node("Add", "x,b", "a"), node("Relu", "a", "b"), node("Conv", "b,w", "z"), *TAIL]
    found = refused(tmp_path, nodes)
    assert found.message == "node '/net/Add' (Add): it reads 'b', which nothing before it gives"
    assert found.help is not None
    assert "cycle" in found.help


def test_a_value_given_twice_is_damage(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "z"), node("Conv", "x,w", "z"), *TAIL]
    found = refused(tmp_path, nodes)
    assert "it gives 'z', which something before it gives already" in found.message


def test_dead_branches_are_left_out_whatever_they_hold(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x,w", "z"),
        node("NonZero", "z", "unused"),
        node("Det", "unused", "never"),
        *TAIL,
    ]
    graph = read(tmp_path, nodes)
    assert [n.op for n in graph.nodes] == ["conv2d", "avg_pool2d", "flatten"]


def test_an_output_that_is_a_constant(tmp_path: Path) -> None:
    nodes = [node("Conv", "x,w", "z"), node("Identity", "v", "y")]
    found = refused(tmp_path, nodes, {"w": WEIGHT, "v": np.zeros((1, 3), np.float32)})
    assert found.code == "HQ325"
    assert "does not depend on its input" in found.message


def test_a_network_without_weights_has_nothing_to_quantize(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "n.onnx", [node("Relu", "x", "z"), *TAIL], ("n", 4, 6, 6))
    model = onnx_model(path, image(6, 6, 4))
    with pytest.raises(HawqError) as caught:
        network_table(import_structure(model), model, residual=8)
    assert only(caught.value).code == "HQ326"
    assert only(caught.value).span == model.source_span


def test_a_weight_of_two_layers_is_a_copy_for_each_and_a_note(tmp_path: Path) -> None:
    first = helper.make_node("Conv", ["x", "b.weight"], ["a"], name="/b/Conv")
    second = helper.make_node("Conv", ["a", "b.weight"], ["z"], name="/c/Conv")
    graph = read(tmp_path, [first, second, *TAIL], {"b.weight": WEIGHT})
    assert [n.name for n in graph.nodes if n.op == "conv2d"] == ["b", "c"]
    assert graph.parameters[0].ref == graph.parameters[1].ref
    assert graph.notes == (
        "'b.weight' is the weight of b, c: each has a copy, quantized on its own",
    )


def test_symbolic_height_and_width_take_the_declared_size(tmp_path: Path) -> None:
    graph = read(tmp_path, [node("Conv", "x,w", "z"), *TAIL], shape=("n", 4, "h", "w"))
    assert graph.shape(graph.nodes[0].output) == (4, 6, 6)


def test_initializers_that_are_inputs_and_chains_of_identities(tmp_path: Path) -> None:
    nodes = [
        node("Identity", "w", "w1"),
        node("Identity", "w1", "w2"),
        node("Identity", "x", "x1"),
        node("Conv", "x1,w2", "c"),
        node("Identity", "c", "z"),
        *TAIL,
    ]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, 6, 6), {"w": WEIGHT})
    made = onnx.load_model(path)
    made.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, WEIGHT.shape))
    onnx.save_model(made, path)
    graph = import_structure(onnx_model(path, image(6, 6, 4)))
    assert [n.op for n in graph.nodes] == ["conv2d", "avg_pool2d", "flatten"]


def test_a_network_exported_from_channels_last_is_read_through_its_transposes(
    tmp_path: Path,
) -> None:
    constant = helper.make_node(
        "Constant", [], ["axes"], value=numpy_helper.from_array(np.array([1, 2]))
    )
    nodes = [
        node("Transpose", "x", "first", perm=[0, 3, 1, 2]),
        node("Conv", "first,w", "c"),
        node("Transpose", "c", "last", perm=[0, 2, 3, 1]),
        constant,
        node("ReduceMean", "last,axes", "y", keepdims=0),
    ]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 6, 6, 4), {"w": WEIGHT}, opset=18)
    graph = import_structure(onnx_model(path, image(6, 6, 4)))
    assert [n.op for n in graph.nodes] == ["conv2d", "avg_pool2d", "flatten"]
    assert graph.input.shape == (4, 6, 6)
