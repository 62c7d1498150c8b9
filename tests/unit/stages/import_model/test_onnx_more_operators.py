"""Activations, products, reductions, rearrangements and resizes, node for node against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import HawqError
from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Clamp,
    Conv2d,
    Graph,
    MaxPool2d,
    Multiply,
    Rearrange,
    Resample,
    Table,
    Take,
)
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model import import_structure
from hawqlang.stages.import_model.builder import Builder
from tests.support.imports import image, imported, onnx_model, save_graph
from tests.unit.stages.import_model.test_onnx_operators import check, node, random, tail

Nodes = list[onnx.NodeProto]
F32 = np.float32


def kinds(graph: Graph) -> list[type]:
    return [type(one) for one in graph.nodes]


def tables(graph: Graph) -> list[Table]:
    return [one for one in graph.nodes if isinstance(one, Table)]


@pytest.mark.parametrize(
    ("op", "attributes", "opset"),
    [
        ("Abs", {}, 17),
        ("Celu", {"alpha": 0.7}, 17),
        ("Elu", {"alpha": 0.5}, 17),
        ("Erf", {}, 17),
        ("Exp", {}, 17),
        ("Gelu", {}, 20),
        ("Gelu", {"approximate": "tanh"}, 20),
        ("HardSigmoid", {}, 17),
        ("HardSigmoid", {"alpha": 1 / 6}, 17),
        ("HardSwish", {}, 17),
        ("LeakyRelu", {"alpha": 0.3}, 17),
        ("Mish", {}, 18),
        ("Selu", {}, 17),
        ("Sigmoid", {}, 17),
        ("Softplus", {}, 17),
        ("Softsign", {}, 17),
        ("Tanh", {}, 17),
    ],
)
def test_a_function_of_one_tensor_is_a_table(
    tmp_path: Path, op: str, attributes: dict[str, Any], opset: int
) -> None:
    graph = check(tmp_path, [node(op, "x", "a", **attributes), *tail("a", pool=False)], opset=opset)
    assert kinds(graph)[0] is Table


@pytest.mark.parametrize("shape", [(4, 1, 1), (1,), (1, 1, 1)])
def test_prelu_has_a_slope_per_channel_or_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nodes = [node("PRelu", "x,s", "a"), *tail("a", pool=False)]
    graph = check(tmp_path, nodes, {"s": np.abs(random(*shape))})
    assert (tables(graph)[0].slope is None) == (np.prod(shape) == 1)


def silu() -> Nodes:
    return [node("Sigmoid", "x", "s"), node("Mul", "x,s", "a")]


def hard_swish() -> Nodes:
    return [
        node("Add", "x,three", "p"),
        node("Clip", "p,zero,six", "c"),
        node("Mul", "x,c", "m"),
        node("Div", "m,six", "a"),
    ]


def hard_swish_divided_first() -> Nodes:
    return [
        node("Add", "three,x", "p"),
        node("Clip", "p,zero,six", "c"),
        node("Div", "c,six", "d"),
        node("Mul", "d,x", "a"),
    ]


def gelu() -> Nodes:
    return [
        node("Div", "x,root", "d"),
        node("Erf", "d", "e"),
        node("Add", "e,one", "f"),
        node("Mul", "x,f", "g"),
        node("Mul", "g,half", "a"),
    ]


def mish() -> Nodes:
    return [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x,t", "a")]


def sum_of_functions() -> Nodes:
    return [node("Tanh", "x", "s"), node("Add", "x,s", "a")]


def square() -> Nodes:
    return [node("Mul", "x,x", "a")]


NUMBERS = {
    "one": np.array(1, F32),
    "half": np.array([0.5], F32),
    "three": np.array(3, F32),
    "six": np.array(6, F32),
    "zero": np.array(0, F32),
    "root": np.array(2**0.5, F32),
}


@pytest.mark.parametrize(
    "pattern",
    [silu, hard_swish, hard_swish_divided_first, gelu, mish, sum_of_functions, square],
)
def test_operators_that_read_one_tensor_become_one_table(tmp_path: Path, pattern: Any) -> None:
    nodes = [*pattern(), *tail("a", pool=False)]
    used = {name: NUMBERS[name] for n in nodes for name in n.input if name in NUMBERS}
    graph = check(tmp_path, nodes, used)
    assert len(tables(graph)) == 1
    assert tables(graph)[0].x == "input"
    assert len(graph.nodes) == 2


def test_a_relu_added_to_its_input_stays_an_addition(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "r"), node("Add", "x,r", "a"), *tail("a", pool=False)]
    assert Add in kinds(check(tmp_path, nodes))


def test_a_clip_at_any_bounds_is_a_clamp(tmp_path: Path) -> None:
    nodes = [node("Clip", "x,low,high", "a"), *tail("a", pool=False)]
    numbers = {"low": np.array(-0.5, F32), "high": np.array(1.25, F32)}
    (clamp,) = [n for n in check(tmp_path, nodes, numbers).nodes if isinstance(n, Clamp)]
    assert (clamp.low, clamp.high) == (-0.5, 1.25)


@pytest.mark.parametrize("gate", ["GlobalAveragePool", "GlobalMaxPool"])
def test_squeeze_and_excitation(tmp_path: Path, gate: str) -> None:
    nodes = [
        node(gate, "x", "g"),
        node("Conv", "g,w", "c"),
        node("Sigmoid", "c", "s"),
        node("Mul", "x,s", "a"),
        *tail("a", pool=False),
    ]
    assert Multiply in kinds(check(tmp_path, nodes, {"w": random(4, 4, 1, 1)}))


def test_squeeze_and_excitation_with_linear_layers(tmp_path: Path) -> None:
    nodes = [
        node("GlobalAveragePool", "x", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f,w", "c", transB=1),
        node("Sigmoid", "c", "s"),
        node("Unsqueeze", "s,axes", "u"),
        node("Mul", "u,x", "a"),
        *tail("a", pool=False),
    ]
    constants = {"w": random(4, 4), "axes": np.array([2, 3], np.int64)}
    graph = check(tmp_path, nodes, constants)
    assert Rearrange not in kinds(graph)


def test_a_gate_per_position(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x,w", "c"),
        node("Sigmoid", "c", "s"),
        node("Mul", "x,s", "a"),
        *tail("a", pool=False),
    ]
    check(tmp_path, nodes, {"w": random(1, 4, 1, 1)})


@pytest.mark.parametrize("op", ["Sub", "Add"])
def test_sums_and_differences_of_tensors_repeat_axes_of_one(tmp_path: Path, op: str) -> None:
    nodes = [
        node("GlobalAveragePool", "x", "g"),
        node(op, "g,x", "b"),
        node(op, "b,x", "a"),
        *tail("a", pool=False),
    ]
    check(tmp_path, nodes)


def test_negation_and_powers(tmp_path: Path) -> None:
    nodes = [node("Neg", "x", "n"), node("Pow", "n,e", "a"), *tail("a", pool=False)]
    assert len(tables(check(tmp_path, nodes, {"e": np.array(3, F32)}))) == 1


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[1], [2], [3], [1, 3], [2, 3], [-1, 1, 2]])
@pytest.mark.parametrize(("op", "pool"), [("ReduceMean", AvgPool2d), ("ReduceMax", MaxPool2d)])
def test_reductions_over_any_axes(
    tmp_path: Path, op: str, pool: type, axes: list[int], keep: int
) -> None:
    nodes = [node(op, "x", "r", axes=axes, keepdims=keep), node("Flatten", "r", "y")]
    assert pool in kinds(check(tmp_path, nodes))


def test_channel_shuffle_is_one_rearrangement(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", "x,split", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t,join", "a"),
        *tail("a", pool=False),
    ]
    constants = {
        "split": np.array([-1, 2, 2, 11, 9], np.int64),
        "join": np.array([-1, 4, 11, 9], np.int64),
    }
    graph = check(tmp_path, [*nodes[:3], node("Relu", "a", "b"), *tail("b", pool=False)], constants)
    assert kinds(graph).count(Rearrange) == 1


@pytest.mark.parametrize("perm", [[0, 2, 1, 3], [0, 3, 2, 1], [0, 1, 3, 2], [0, 3, 1, 2]])
def test_any_transpose_of_a_map(tmp_path: Path, perm: list[int]) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=perm),
        node("MaxPool", "t", "a", kernel_shape=[2, 2]),
        *tail("a", pool=False),
    ]
    check(tmp_path, nodes)


def test_reshapes_between_transposes(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
        node("Reshape", "t,s", "r"),
        node("Transpose", "r", "u", perm=[0, 2, 1]),
        node("Reshape", "u,back", "v"),
        node("MaxPool", "v", "a", kernel_shape=[2, 2]),
        *tail("a", pool=False),
    ]
    sizes = {"s": np.array([-1, 33, 12], np.int64), "back": np.array([-1, 6, 6, 11], np.int64)}
    check(tmp_path, nodes, sizes)


def test_a_flattened_map_with_channels_last(tmp_path: Path) -> None:
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Flatten", "t", "y")]
    check(tmp_path, nodes)


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenation_along_any_axis(tmp_path: Path, axis: int) -> None:
    nodes = [
        node("Relu", "x", "r"),
        node("Concat", "x,r,x", "c", axis=axis),
        node("MaxPool", "c", "a", kernel_shape=[2, 2]),
        *tail("a", pool=False),
    ]
    check(tmp_path, nodes)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_every_mode_of_padding(tmp_path: Path, mode: str) -> None:
    nodes = [node("Pad", "x,p,v", "a", mode=mode), *tail("a", pool=False)]
    pads = np.array([0, 1, 2, 3, 0, 0, 1, 4], np.int64)
    check(tmp_path, nodes, {"p": pads, "v": np.array(-1.5, F32)})


def test_negative_pads_cut(tmp_path: Path) -> None:
    nodes = [node("Pad", "x,p", "a"), *tail("a", pool=False)]
    check(tmp_path, nodes, {"p": np.array([0, 0, -2, 1, 0, 1, 0, -3], np.int64)})


def test_backward_slices_tiles_expansion_and_gathering(tmp_path: Path) -> None:
    nodes = [
        node("Slice", "x,start,end,axes,step", "s"),
        node("Tile", "s,times", "t"),
        node("Gather", "t,chosen", "g", axis=2),
        node("GlobalAveragePool", "g", "m"),
        node("Expand", "m,shape", "e"),
        node("Add", "e,g", "b"),
        node("Gather", "b,one", "a", axis=3),
        node("Flatten", "a", "y"),
    ]
    constants = {
        "start": np.array([9, -1], np.int64),
        "end": np.array([0, -(2**31)], np.int64),
        "axes": np.array([2, 3], np.int64),
        "step": np.array([-2, -3], np.int64),
        "times": np.array([1, 2, 1, 2], np.int64),
        "chosen": np.array([0, 2, -1, 2], np.int64),
        "shape": np.array([1, 8, 4, 1], np.int64),
        "one": np.array(3, np.int64),
    }
    check(tmp_path, nodes, constants)


@pytest.mark.parametrize("how", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("size", [(22, 18), (16, 5), (11, 27)])
def test_resize(tmp_path: Path, how: str, mode: str, size: tuple[int, int]) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": how}
    nodes = [node("Resize", "x,,,sizes", "a", **attributes), *tail("a", pool=False)]
    graph = check(tmp_path, nodes, {"sizes": np.array([2, 4, *size], np.int64)})
    assert kinds(graph)[0] is (Take if mode == "nearest" else Resample)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_resize_by_scales(tmp_path: Path, rounding: str) -> None:
    attributes = {"nearest_mode": rounding, "coordinate_transformation_mode": "asymmetric"}
    nodes = [node("Resize", "x,,scales", "a", **attributes), *tail("a", pool=False)]
    check(tmp_path, nodes, {"scales": np.array([1, 1, 2, 1.5], F32)})


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_and_back(tmp_path: Path, mode: str) -> None:
    nodes = [
        node("DepthToSpace", "x", "d", blocksize=2, mode=mode),
        node("Relu", "d", "r"),
        node("SpaceToDepth", "r", "a", blocksize=2),
        *tail("a", pool=False),
    ]
    check(tmp_path, nodes, shape=(8, 5, 7))


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((2, 2), {"strides": [2, 2]}),
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((3, 2), {}),
        ((1, 3), {"strides": [3, 2], "pads": [0, 1, 0, 0]}),
        ((3, 3), {"strides": [2, 3], "auto_pad": "SAME_UPPER"}),
        ((5, 4), {"strides": [3, 2], "output_padding": [2, 1]}),
    ],
)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_transposed_convolution(
    tmp_path: Path, kernel: tuple[int, int], attributes: dict[str, Any], groups: int
) -> None:
    nodes = [
        node("ConvTranspose", "x,w,b", "a", group=groups, **attributes),
        *tail("a", pool=False),
    ]
    graph = check(tmp_path, nodes, {"w": random(4, 3, *kernel), "b": random(3 * groups)})
    assert kinds(graph).count(Conv2d) == 1


def test_a_batch_norm_behind_a_transposed_convolution_folds(tmp_path: Path) -> None:
    nodes = [
        node("ConvTranspose", "x,w", "c", strides=[2, 2], pads=[1, 1, 1, 1], group=2),
        node("BatchNormalization", "c,g,b,m,v", "n"),
        node("Relu", "n", "a"),
        *tail("a", pool=False),
    ]
    statistics = {name: random(6, seed=i) for i, name in enumerate("gbm")}
    constants = {"w": random(4, 3, 4, 4), **statistics, "v": np.abs(random(6)) + 0.5}
    graph = check(tmp_path, nodes, constants)
    assert BatchNorm not in kinds(graph)
    assert kinds(graph)[:2] == [Conv2d, Clamp]


def test_a_batch_norm_behind_a_channel_shuffle_stays(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x,w", "c"),
        node("DepthToSpace", "c", "d", blocksize=2),
        node("BatchNormalization", "d,g,g,g,v", "a"),
        *tail("a", pool=False),
    ]
    constants = {"w": random(8, 4, 1, 1), "g": random(2), "v": np.abs(random(2)) + 0.5}
    assert BatchNorm in kinds(check(tmp_path, nodes, constants))


@pytest.mark.parametrize("op", ["ArgMax", "TopK"])
def test_a_final_choice_is_dropped_with_a_note(tmp_path: Path, op: str) -> None:
    pooled = [node("GlobalAveragePool", "x", "g"), node("Flatten", "g", "f")]
    last = (
        node("ArgMax", "f", "y", axis=1)
        if op == "ArgMax"
        else helper.make_node("TopK", ["f", "k"], ["values", "y"], name="TopK_y")
    )
    constants = {"k": np.array([2], np.int64)} if op == "TopK" else {}
    path = save_graph(tmp_path / "n.onnx", [*pooled, last], ("n", 4, 5, 5), constants)
    graph, _ = imported(onnx_model(path, image(5, 5, 4)))
    assert graph.shape(graph.output) == (4,)
    assert any("it chose from" in note for note in graph.notes)


def test_nothing_may_follow_a_choice(tmp_path: Path) -> None:
    nodes = [node("ArgMax", "x", "i", axis=1), node("Relu", "i", "y")]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, 5, 5))
    with pytest.raises(HawqError) as caught:
        imported(onnx_model(path, image(5, 5, 4)))
    assert "it reads what 'ArgMax_i' chose" in caught.value.diagnostics[0].message


@pytest.mark.parametrize("size", [(3, 4), (1, 1), (11, 9), (5, 2), (13, 9)])
def test_adaptive_means_cover_the_map(size: tuple[int, int]) -> None:
    builder = Builder(name="net", input_shape=(4, 11, 9))
    draft = builder.finish(builder.flatten("flat", builder.adaptive_mean("pool", "input", size)))
    x = torch.from_numpy(random(2, 4, 11, 9))
    found = FloatModel(draft.graph(), TensorStore()).forward(x)
    expected = torch.nn.functional.adaptive_avg_pool2d(x, size).flatten(1)
    torch.testing.assert_close(found, expected)


def test_a_number_in_external_data_is_not_read_for_the_structure(tmp_path: Path) -> None:
    nodes = [*gelu(), *tail("a", pool=False)]
    used = {name: NUMBERS[name] for n in nodes for name in n.input if name in NUMBERS}
    whole = save_graph(tmp_path / "whole.onnx", nodes, ("n", 4, 5, 5), used)
    onnx.save_model(
        onnx.load_model(whole),
        tmp_path / "n.onnx",
        save_as_external_data=True,
        location="n.data",
        size_threshold=0,
    )
    (tmp_path / "n.data").unlink()
    graph = import_structure(onnx_model(tmp_path / "n.onnx", image(5, 5, 4)))
    assert Multiply in kinds(graph)
