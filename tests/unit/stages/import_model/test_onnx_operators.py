"""Every operator the importer reads, node for node against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hawqlang.ir.graph import AvgPool2d, BatchNorm, Clamp, Conv2d, Graph, Linear, MaxPool2d, Pad
from tests.support.imports import (
    Array,
    image,
    imported,
    onnx_model,
    run_graph,
    run_onnxruntime,
    save_graph,
    vector,
)

Constants = dict[str, Array]


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        op, inputs.split(","), output.split(","), name=f"{op}_{output}", **attributes
    )


def tail(x: str, *, pool: bool = True) -> list[onnx.NodeProto]:
    """From a feature map to logits."""
    pooled = [node("GlobalAveragePool", x, "gap")] if pool else []
    return [*pooled, node("Flatten", "gap" if pool else x, "y")]


def check(
    folder: Path,
    nodes: list[onnx.NodeProto],
    constants: Constants | None = None,
    *,
    shape: tuple[int, ...] = (4, 11, 9),
    opset: int = 17,
) -> Graph:
    """Import a file, compare what it computes, and return the graph."""
    path = save_graph(folder / "net.onnx", nodes, ("n", *shape), constants, opset=opset)
    kind = image(shape[1], shape[2], shape[0]) if len(shape) == 3 else vector(*shape)
    graph, store = imported(onnx_model(path, kind))
    x = np.random.default_rng(3).standard_normal((2, *shape), dtype=np.float32)
    expected = run_onnxruntime(path, x)
    np.testing.assert_allclose(run_graph(graph, store, x), expected, atol=2e-5, rtol=1e-5)
    return graph


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1], "pads": [1, 0, 2, 1]},
        {"dilations": [2, 1], "pads": [2, 1, 2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [3, 2]},
        {"auto_pad": "VALID", "strides": [2, 2]},
    ],
)
def test_convolution_with_every_kind_of_padding(tmp_path: Path, attributes: dict[str, Any]) -> None:
    nodes = [node("Conv", "x,w,b", "c", **attributes), *tail("c", pool=False)]
    check(tmp_path, nodes, {"w": random(5, 4, 3, 2), "b": random(5)})


@pytest.mark.parametrize(("groups", "channels"), [(2, 6), (4, 4), (4, 8)])
def test_grouped_and_depthwise_convolution(tmp_path: Path, groups: int, channels: int) -> None:
    nodes = [node("Conv", "x,w", "c", group=groups, pads=[1, 1, 1, 1]), *tail("c", pool=False)]
    check(tmp_path, nodes, {"w": random(channels, 4 // groups, 3, 3)})


@pytest.mark.parametrize("opset", range(11, 22))
def test_every_opset_reads_a_whole_network(tmp_path: Path, opset: int) -> None:
    squeeze = (
        node("Squeeze", "r", "s,".rstrip(","), axes=[2, 3])
        if opset < 13
        else node("Squeeze", "r,axes", "s")
    )
    mean = (
        node("ReduceMean", "p", "r", axes=[2, 3], keepdims=1)
        if opset < 18
        else node("ReduceMean", "p,axes", "r", keepdims=1)
    )
    nodes = [
        node("Conv", "x,w", "c"),
        node("BatchNormalization", "c,g,b,m,v", "n", epsilon=1e-3),
        node("Clip", "n,low,high", "k"),
        node("MaxPool", "k", "p", kernel_shape=[2, 2], strides=[2, 2]),
        mean,
        squeeze,
        node("Gemm", "s,f,h", "z", transB=1),
        node("Softmax", "z", "y", axis=1),
    ]
    constants: Constants = {
        "w": random(6, 4, 3, 3),
        "g": random(6, seed=1),
        "b": random(6, seed=2),
        "m": random(6, seed=3),
        "v": np.abs(random(6, seed=4)) + 0.5,
        "low": np.zeros((), dtype=np.float32),
        "high": np.full((), 6, dtype=np.float32),
        "axes": np.array([2, 3]),
        "f": random(5, 6, seed=5),
        "h": random(5, seed=6),
    }
    path = save_graph(tmp_path / "net.onnx", nodes, ("n", 4, 11, 9), constants, opset=opset)
    graph, store = imported(onnx_model(path, image(11, 9, 4)))
    x = random(2, 4, 11, 9, seed=7)
    logits = run_graph(graph, store, x)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = shifted / shifted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, run_onnxruntime(path, x), atol=1e-5)
    assert graph.notes == (
        "final softmax 'Softmax_y' dropped: it does not change which class is first",
    )
    assert [n.op for n in graph.nodes] == [
        "conv2d",
        "clamp",
        "max_pool2d",
        "avg_pool2d",
        "flatten",
        "linear",
    ]


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [(), (1,), (3,), (1, 3)])
def test_gemm_in_all_its_forms(tmp_path: Path, trans_b: int, bias: tuple[int, ...]) -> None:
    weight = random(3, 7) if trans_b else random(7, 3)
    nodes = [node("Gemm", "x,w,c", "y", transB=trans_b, alpha=0.5, beta=-2.0)]
    check(tmp_path, nodes, {"w": weight, "c": random(*bias, seed=1)}, shape=(7,))


def test_matmul_and_addition_become_one_linear_layer(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x,w", "m"), node("Add", "b,m", "y")]
    graph = check(tmp_path, nodes, {"w": random(7, 3), "b": random(3)}, shape=(7,))
    (linear,) = graph.nodes
    assert isinstance(linear, Linear)
    assert linear.bias is not None


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(), (1, 5, 1, 1), (5, 1, 1)])
def test_arithmetic_with_a_constant_folds_into_the_convolution(
    tmp_path: Path, op: str, shape: tuple[int, ...]
) -> None:
    constants = {"w": random(5, 4, 3, 3), "c": np.asarray(random(*shape, seed=1) + 3)}
    graph = check(tmp_path, [node("Conv", "x,w", "a"), node(op, "a,c", "b"), *tail("b")], constants)
    assert [n.op for n in graph.nodes] == ["conv2d", "avg_pool2d", "flatten"]


def test_constant_minus_tensor_folds_too(tmp_path: Path) -> None:
    constants = {"w": random(5, 4, 3, 3), "c": random(5, 1, 1, seed=1)}
    nodes = [node("Conv", "x,w", "a"), node("Sub", "c,a", "b"), *tail("b")]
    graph = check(tmp_path, nodes, constants)
    assert not [n for n in graph.nodes if isinstance(n, BatchNorm)]


def test_a_scale_that_cannot_fold_stays(tmp_path: Path) -> None:
    nodes = [node("Mul", "x,s", "a"), node("Sub", "a,o", "b"), node("Conv", "b,w", "c"), *tail("c")]
    constants = {"s": random(4, 1, 1), "o": random(4, 1, 1, seed=1), "w": random(5, 4, 3, 3)}
    graph = check(tmp_path, nodes, constants)
    assert [n.op for n in graph.nodes][:3] == ["batch_norm", "batch_norm", "conv2d"]


def test_batch_norm_stays_where_its_input_has_another_reader(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x,w", "a"),
        node("BatchNormalization", "a,g,b,m,v", "n"),
        node("Add", "a,n", "s"),
        *tail("s"),
    ]
    stats = {"g": random(5), "b": random(5, seed=1), "m": random(5, seed=2)}
    constants = {"w": random(5, 4, 3, 3), **stats, "v": np.abs(random(5, seed=3)) + 0.1}
    graph = check(tmp_path, nodes, constants)
    assert [n.op for n in graph.nodes][:2] == ["conv2d", "batch_norm"]


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [
        ((3, 3), (2, 2), (0, 0, 0, 0)),
        ((3, 2), (2, 3), (1, 0, 1, 1)),
        ((2, 2), (2, 2), (0, 0, 0, 0)),
        ((3, 3), (1, 2), (1, 1, 1, 1)),
    ],
)
def test_max_pool(
    tmp_path: Path,
    ceil: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, ...],
) -> None:
    attributes = {"kernel_shape": kernel, "strides": stride, "pads": pads, "ceil_mode": ceil}
    check(tmp_path, [node("MaxPool", "x", "p", **attributes), *tail("p", pool=False)])


def test_dilated_max_pool(tmp_path: Path) -> None:
    pool = node("MaxPool", "x", "p", kernel_shape=[3, 2], dilations=[2, 3], strides=[1, 2])
    check(tmp_path, [pool, *tail("p", pool=False)])


@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "stride", "pads", "ceil"),
    [
        ((3, 3), (2, 2), (1, 1, 1, 1), 0),
        ((3, 2), (2, 3), (1, 0, 1, 1), 0),
        ((2, 2), (2, 2), (0, 0, 0, 0), 0),
        ((3, 3), (2, 2), (0, 0, 0, 0), 1),
        ((2, 2), (2, 2), (0, 0, 0, 0), 1),
    ],
)
def test_average_pool(
    tmp_path: Path,
    counted: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, ...],
    ceil: int,
) -> None:
    attributes = {"kernel_shape": kernel, "strides": stride, "pads": pads, "ceil_mode": ceil}
    pool = node("AveragePool", "x", "p", count_include_pad=counted, **attributes)
    check(tmp_path, [pool, *tail("p", pool=False)], opset=19)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(tmp_path: Path, op: str) -> None:
    check(tmp_path, [node(op, "x", "p"), *tail("p", pool=False)])


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
def test_mean_over_height_and_width(tmp_path: Path, keep: int, axes: list[int]) -> None:
    nodes = [node("ReduceMean", "x", "m", axes=axes, keepdims=keep), node("Flatten", "m", "y")]
    graph = check(tmp_path, nodes)
    assert [n.op for n in graph.nodes] == ["avg_pool2d", "flatten"]


def test_clips_and_bounds_become_one_clamp(tmp_path: Path) -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("Min", "a,six", "b"),
        node("Max", "minus,b", "c"),
        node("Clip", "c,,four", "d"),
        *tail("d"),
    ]
    constants = {"six": np.float32(6), "minus": np.float32(-1), "four": np.float32(4)}
    graph = check(tmp_path, nodes, {k: np.asarray(v) for k, v in constants.items()})
    clamps = [n for n in graph.nodes if isinstance(n, Clamp)]
    assert [(n.low, n.high) for n in clamps] == [(0.0, 4.0)]


def test_relu_after_max_pool_moves_to_its_convolution(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x,w", "a"),
        node("MaxPool", "a", "b", kernel_shape=[2, 2]),
        node("Slice", "b,start,stop,axis", "c"),
        node("Relu", "c", "d"),
        *tail("d"),
    ]
    constants = {
        "w": random(5, 4, 3, 3),
        "start": np.array([1]),
        "stop": np.array([9]),
        "axis": np.array([2]),
    }
    graph = check(tmp_path, nodes, constants)
    assert [n.op for n in graph.nodes][:4] == ["conv2d", "clamp", "max_pool2d", "slice"]


def test_channel_operators(tmp_path: Path) -> None:
    nodes = [
        node("Split", "x,sizes", "a,b", axis=1),
        node("Concat", "b,a,b", "c", axis=-3),
        node("Slice", "c,start,stop,axes,steps", "d"),
        node("Pad", "d,pads", "e"),
        *tail("e", pool=False),
    ]
    constants = {
        "sizes": np.array([1, 3]),
        "start": np.array([-100, 1]),
        "stop": np.array([2**62, -1]),
        "axes": np.array([1, -1]),
        "steps": np.array([2, 3]),
        "pads": np.array([0, 2, 1, 0, 0, 1, 0, 2]),
    }
    check(tmp_path, nodes, constants)


def test_equal_split_without_sizes(tmp_path: Path) -> None:
    nodes = [node("Split", "x", "a,b", axis=1), node("Add", "a,b", "c"), *tail("c")]
    check(tmp_path, nodes)


def test_zero_padding_merges_into_convolution_and_counting_average(tmp_path: Path) -> None:
    nodes = [
        node("Pad", "x,pads", "a"),
        node("Conv", "a,w", "b", pads=[1, 1, 1, 1]),
        node("Pad", "b,pads", "c"),
        node("AveragePool", "c", "d", kernel_shape=[4, 5], pads=[1, 1, 1, 1], count_include_pad=1),
        *tail("d", pool=False),
    ]
    constants = {"w": random(5, 4, 3, 3), "pads": np.array([0, 0, 0, 1, 0, 0, 2, 0])}
    graph = check(tmp_path, nodes, constants)
    conv, pool, _ = graph.nodes
    assert isinstance(conv, Conv2d)
    assert isinstance(pool, AvgPool2d)
    assert conv.padding == (1, 2, 3, 1)
    assert pool.padding == pool.counted == (1, 2, 3, 1)


def test_zero_padding_counts_even_where_the_average_does_not_count_its_own(tmp_path: Path) -> None:
    nodes = [
        node("Pad", "x,pads", "c"),
        node("AveragePool", "c", "d", kernel_shape=[4, 4], pads=[1, 1, 1, 1]),
        *tail("d", pool=False),
    ]
    graph = check(tmp_path, nodes, {"pads": np.array([0, 0, 0, 1, 0, 0, 2, 0])})
    pool = graph.nodes[0]
    assert isinstance(pool, AvgPool2d)
    assert (pool.padding, pool.counted) == ((1, 2, 3, 1), (0, 1, 2, 0))


def test_padding_before_a_max_pool_stays_where_values_may_be_negative(tmp_path: Path) -> None:
    nodes = [
        node("Pad", "x,pads", "a"),
        node("MaxPool", "a", "b", kernel_shape=[3, 3], strides=[2, 2]),
        *tail("b", pool=False),
    ]
    pads: Constants = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    assert isinstance(check(tmp_path, nodes, pads).nodes[0], Pad)
    clamped = [node("Relu", "x", "r"), node("Pad", "r,pads", "a"), *nodes[1:]]
    graph = check(tmp_path, clamped, pads)
    assert [n.op for n in graph.nodes] == ["clamp", "max_pool2d", "flatten"]
    pool = graph.nodes[1]
    assert isinstance(pool, MaxPool2d)
    assert pool.padding == (1, 1, 1, 1)


def test_shape_arithmetic_is_folded(tmp_path: Path) -> None:
    """``x.view(x.size(0), x.size(1) * …)`` and ``F.pad`` as exporters write them."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s,zero", "n"),
        node("Gather", "s,one", "c"),
        node("Slice", "s,two,big", "hw"),
        node("ReduceProd", "hw", "p", keepdims=0),
        node("Mul", "c,p", "f"),
        node("Unsqueeze", "n,axis", "n1"),
        node("Unsqueeze", "f,axis", "f1"),
        node("Concat", "n1,f1", "t", axis=0),
        node("Reshape", "x,t", "y"),
    ]
    constants = {
        "zero": np.asarray(np.int64(0)),
        "one": np.asarray(np.int64(1)),
        "two": np.array([2]),
        "big": np.array([2**62]),
        "axis": np.array([0]),
    }
    graph = check(tmp_path, nodes, constants)
    assert [n.op for n in graph.nodes] == ["flatten"]


def test_padding_amounts_built_from_constants_are_folded(tmp_path: Path) -> None:
    fill = helper.make_tensor("v", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("Constant", [], ["p"], value_ints=[0, 1, 0, 0]),
        helper.make_node("Constant", [], ["k"], value_ints=[4]),
        node("ConstantOfShape", "k", "rest", value=fill),
        node("Concat", "p,rest", "all", axis=0),
        node("Reshape", "all,shape", "two"),
        node("Slice", "two,start,stop,axes,steps", "turned"),
        node("Transpose", "turned", "t", perm=[1, 0]),
        node("Reshape", "t,flat", "u"),
        node("Cast", "u", "pads", to=TensorProto.INT64),
        node("Pad", "x,pads", "a"),
        *tail("a", pool=False),
    ]
    constants = {
        "shape": np.array([-1, 2]),
        "start": np.array([-1]),
        "stop": np.array([-(2**63) + 1]),
        "axes": np.array([0]),
        "steps": np.array([-1]),
        "flat": np.array([-1]),
    }
    check(tmp_path, nodes, constants)


def test_views_of_a_pooled_map_cancel(tmp_path: Path) -> None:
    nodes = [
        node("GlobalAveragePool", "x", "a"),
        node("Reshape", "a,flat", "b"),
        node("Unsqueeze", "b,axes", "c"),
        node("Conv", "c,w", "d"),
        node("Squeeze", "d", "y"),
    ]
    constants = {"flat": np.array([0, -1]), "axes": np.array([2, 3]), "w": random(5, 4, 1, 1)}
    graph = check(tmp_path, nodes, constants)
    assert [n.op for n in graph.nodes] == ["avg_pool2d", "conv2d", "flatten"]


def test_identity_dropout_and_casts_leave_no_trace(tmp_path: Path) -> None:
    nodes = [
        node("Identity", "w", "v"),
        node("Conv", "x,v", "a"),
        node("Dropout", "a", "b"),
        node("Cast", "b", "c", to=TensorProto.FLOAT),
        node("Identity", "c", "d"),
        *tail("d"),
    ]
    graph = check(tmp_path, nodes, {"w": random(5, 4, 3, 3)})
    assert [n.op for n in graph.nodes] == ["conv2d", "avg_pool2d", "flatten"]
    assert graph.notes == ("dropout 'Dropout_b' removed",)


def test_weights_reordered_in_the_file_are_folded(tmp_path: Path) -> None:
    nodes = [node("Transpose", "w", "v", perm=[3, 2, 0, 1]), node("Conv", "x,v", "a"), *tail("a")]
    check(tmp_path, nodes, {"w": random(3, 3, 4, 5)})


def test_operators_whose_result_nothing_needs_are_left_out(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "unused"), *tail("x")]
    assert [n.op for n in check(tmp_path, nodes).nodes] == ["avg_pool2d", "flatten"]


def test_channels_last_file_is_read_through_its_transposes(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
        node("Conv", "a,w", "b"),
        node("Transpose", "b", "c", perm=[0, 2, 3, 1]),
        node("Relu", "c", "d"),
        node("ReduceMean", "d", "e", axes=[1, 2], keepdims=0),
        node("Gemm", "e,f", "y"),
    ]
    constants = {"w": random(5, 4, 3, 3), "f": random(5, 3)}
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 11, 9, 4), constants)
    graph, store = imported(onnx_model(path, image(11, 9, 4)))
    x = random(2, 11, 9, 4)
    found = run_graph(graph, store, x.transpose(0, 3, 1, 2).copy())
    np.testing.assert_allclose(found, run_onnxruntime(path, x), atol=1e-5)
    assert [n.op for n in graph.nodes] == ["conv2d", "clamp", "avg_pool2d", "flatten", "linear"]


def test_logits_without_a_flatten_become_a_vector(tmp_path: Path) -> None:
    nodes = [node("Conv", "x,w", "a"), node("GlobalAveragePool", "a", "y")]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, 11, 9), {"w": random(5, 4, 3, 3)})
    graph, store = imported(onnx_model(path, image(11, 9, 4)))
    x = random(2, 4, 11, 9)
    np.testing.assert_allclose(
        run_graph(graph, store, x), run_onnxruntime(path, x)[:, :, 0, 0], atol=1e-5
    )
    assert graph.shape(graph.output) == (5,)


def test_softmax_then_log_and_reshape_at_the_end_is_dropped(tmp_path: Path) -> None:
    nodes = [
        node("GlobalAveragePool", "x", "a"),
        node("Softmax", "a", "b", axis=1),
        node("Log", "b", "c"),
        node("Flatten", "c", "y"),
    ]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, 11, 9))
    graph, _ = imported(onnx_model(path, image(11, 9, 4)))
    assert [n.op for n in graph.nodes] == ["avg_pool2d", "flatten"]
    assert len(graph.notes) == 1


def test_fixed_batch_in_the_file_is_no_obstacle(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x,t", "y")]
    path = save_graph(tmp_path / "n.onnx", nodes, (8, 4, 2, 3), {"t": np.array([8, 24])})
    graph, _ = imported(onnx_model(path, image(2, 3, 4)))
    assert graph.shape(graph.output) == (24,)


def test_unknown_height_and_width_are_those_of_the_spec(tmp_path: Path) -> None:
    nodes = [node("Conv", "x,w", "a"), *tail("a")]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, "h", "w"), {"w": random(5, 4, 3, 3)})
    graph, _ = imported(onnx_model(path, image(20, 30, 4)))
    assert graph.shape("Conv_a") == (5, 18, 28)
