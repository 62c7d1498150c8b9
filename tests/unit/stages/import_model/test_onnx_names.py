from __future__ import annotations

import pytest

from hawqlang.stages.import_model.onnx.model import OnnxNode
from hawqlang.stages.import_model.onnx.names import node_names, scope, weight_origins


def node(position: int, op: str, name: str, inputs: str, output: str) -> OnnxNode:
    return OnnxNode(name, op, tuple(inputs.split(",")), (output,), {}, position)


def names(nodes: list[OnnxNode], *initializers: str) -> tuple[str, ...]:
    return node_names(nodes, weight_origins(nodes, dict.fromkeys(initializers)))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/layer4/layer4.0/conv1/Conv", "layer4.0.conv1"),
        ("/features/features.1/conv/conv.0/conv.0.0/Conv", "features.1.conv.0.0"),
        ("/conv1/Conv", "conv1"),
        ("/Conv", ""),
        ("Conv_17", ""),
        ("model/block_1/expand/Conv2D", "model.block_1.expand"),
        ("/layer1/layer10.0/Conv", "layer1.layer10.0"),
    ],
)
def test_scope_of_a_node_name(name: str, path: str) -> None:
    assert scope(name) == path


def test_stem_of_the_weight_goes_before_scope_and_scope_before_name() -> None:
    nodes = [
        node(1, "Conv", "/a/b/Conv", "x,net.c.weight", "1"),
        node(2, "Conv", "/a/d/Conv", "1,onnx::Conv_12", "2"),
        node(3, "Conv", "Conv_17", "2,onnx::Conv_13", "3"),
        node(4, "Conv", "", "3,onnx::Conv_14", "4"),
    ]
    found = names(nodes, "net.c.weight", "onnx::Conv_12", "onnx::Conv_13", "onnx::Conv_14")
    assert found == ("net.c", "a.d", "Conv_17", "Conv_4")


def test_weights_stored_once_keep_the_names_their_identities_give_them() -> None:
    nodes = [
        node(1, "Identity", "Identity_0", "bn1.weight", "bn2.weight"),
        node(2, "BatchNormalization", "/bn1/B", "x,bn1.weight,a,a,a", "1"),
        node(3, "BatchNormalization", "/bn2/B", "1,bn2.weight,a,a,a", "2"),
    ]
    assert names(nodes, "bn1.weight", "a")[1:] == ("bn1", "bn2")


def test_a_reordered_weight_is_traced_to_its_initializer() -> None:
    nodes = [
        node(1, "Transpose", "t", "fc.weight", "onnx::MatMul_5"),
        node(2, "MatMul", "/head/MatMul", "x,onnx::MatMul_5", "y"),
    ]
    assert names(nodes, "fc.weight")[1] == "fc"


def test_shared_weights_still_give_different_names() -> None:
    nodes = [
        node(1, "Conv", "/conv/Conv", "x,conv.weight", "1"),
        node(2, "Conv", "/conv_1/Conv", "1,conv.weight", "2"),
        node(3, "Conv", "/conv/Conv", "2,conv.weight", "3"),
        node(4, "Conv", "/conv/Conv", "3,conv.weight", "4"),
    ]
    assert names(nodes, "conv.weight") == ("conv", "conv_1", "/conv/Conv", "conv_2")


def test_weightless_nodes_take_their_scope_where_they_are_alone_in_it() -> None:
    nodes = [
        node(1, "Constant", "/relu/Constant", "", "c"),
        node(2, "Clip", "/relu/Clip", "x,c", "1"),
        node(3, "Slice", "/block/Slice", "1,c", "2"),
        node(4, "Add", "/block/Add", "1,2", "3"),
        node(5, "Flatten", "/Flatten", "3", "4"),
        node(6, "Relu", "input", "4", "5"),
    ]
    assert names(nodes)[1:] == ("relu", "block.Slice", "block.Add", "/Flatten", "input_1")


def test_a_node_called_input_does_not_clash_with_the_networks_input() -> None:
    assert "input" not in names([node(1, "Relu", "input", "x", "y")])
