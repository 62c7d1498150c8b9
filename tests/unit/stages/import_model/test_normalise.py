from __future__ import annotations

import numpy as np
import pytest

from hawqlang.base import NOWHERE
from hawqlang.cache import TensorStore
from hawqlang.ir.graph import Clamp, Conv2d, Graph
from hawqlang.stages.import_model.builder import Builder, ShapeError
from hawqlang.stages.import_model.draft import INPUT, Draft
from hawqlang.stages.import_model.materialise import materialise
from hawqlang.stages.import_model.normalise import normalise
from hawqlang.stages.import_model.windows import ceil_padding
from tests.support.imports import Array, run_graph


def weights(draft: Draft, seed: int = 5) -> dict[str, Array]:
    """Random tensors under every key a draft needs."""
    from hawqlang.stages.import_model.recipes import stored_in

    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for recipe in stored_in(draft.parameters.values()):
        value = rng.standard_normal(recipe.shape, dtype=np.float32)
        found[recipe.key] = np.abs(value) + np.float32(0.1) if recipe.key.endswith("var") else value
    return found


def check(draft: Draft) -> Graph:
    """Normalise a draft, compare what it computes before and after, and return the graph."""
    values = weights(draft)
    before, after = TensorStore(), TensorStore()
    plain = materialise(draft, values.__getitem__, before, NOWHERE)
    graph = materialise(normalise(draft), values.__getitem__, after, NOWHERE)
    x = np.random.default_rng(0).standard_normal((3, *draft.shapes[INPUT]), dtype=np.float32)
    expected = run_graph(plain, before, x)
    np.testing.assert_allclose(
        run_graph(graph, after, x), expected, rtol=1e-4, atol=1e-5 * float(np.abs(expected).max())
    )
    return graph


def clamps(graph: Graph) -> dict[str, tuple[float | None, float | None]]:
    return {node.name: (node.low, node.high) for node in graph.nodes if isinstance(node, Clamp)}


def test_batch_norm_folds_by_the_formula_in_float64_rounded_once() -> None:
    net = Builder("n", (3, 5, 5))
    draft = net.finish(
        net.flatten("f", net.batch_norm("bn", net.conv("c", INPUT, 4, 3, bias=True)))
    )
    values = weights(draft)
    store = TensorStore()
    graph = materialise(normalise(draft), values.__getitem__, store, NOWHERE)
    assert [node.op for node in graph.nodes] == ["conv2d", "flatten"]
    exact = {key: value.astype(np.float64) for key, value in values.items()}
    factor = exact["bn.weight"] / np.sqrt(exact["bn.running_var"] + 1e-5)
    bias = (exact["c.bias"] - exact["bn.running_mean"]) * factor + exact["bn.bias"]
    refs = {p.name: p.ref for p in graph.parameters}
    weight_ref, bias_ref = refs["c.weight"], refs["c.bias"]
    assert weight_ref is not None
    assert bias_ref is not None
    weight = exact["c.weight"] * factor[:, None, None, None]
    np.testing.assert_allclose(store.get(weight_ref), weight, rtol=1.2e-7)
    np.testing.assert_allclose(store.get(bias_ref), bias, rtol=1.2e-7)
    assert store.get(weight_ref).dtype == np.float32


def test_two_batch_norms_in_a_row_fold_both() -> None:
    net = Builder("n", (3, 5, 5))
    x = net.batch_norm("b2", net.batch_norm("b1", net.conv("c", INPUT, 4, 3)))
    graph = check(net.finish(net.flatten("f", x)))
    assert [node.op for node in graph.nodes] == ["conv2d", "flatten"]


def test_batch_norm_after_a_linear_layer_folds() -> None:
    net = Builder("n", (12,))
    graph = check(net.finish(net.batch_norm("b", net.linear("l", INPUT, 5))))
    assert [node.op for node in graph.nodes] == ["linear"]
    assert graph.output == "l"


def test_batch_norm_of_a_value_that_is_also_the_output_stays() -> None:
    net = Builder("n", (12,))
    x = net.linear("l", INPUT, 5)
    net.batch_norm("b", x)
    draft = net.finish(x)
    graph = check(draft)
    assert [node.op for node in graph.nodes] == ["linear"]
    (parameter, _) = graph.parameters
    assert parameter.name == "l.weight"


def test_depthwise_convolutions_fold_per_output_channel() -> None:
    net = Builder("n", (6, 5, 5))
    x = net.batch_norm("b", net.conv("c", INPUT, 12, 3, groups=6))
    graph = check(net.finish(net.flatten("f", x)))
    assert isinstance(graph.nodes[0], Conv2d)


def test_batch_norm_of_the_input_stays() -> None:
    net = Builder("n", (3, 5, 5))
    x = net.conv("c", net.batch_norm("b", INPUT), 4, 3, padding=1)
    graph = check(net.finish(net.flatten("f", x)))
    assert graph.nodes[0].op == "batch_norm"


@pytest.mark.parametrize(
    ("bounds", "merged"),
    [
        ([(0.0, None), (0.0, 6.0)], (0.0, 6.0)),
        ([(0.0, 6.0), (-1.0, 3.0)], (0.0, 3.0)),
        ([(0.0, 6.0), (8.0, 9.0)], (8.0, 8.0)),
        ([(None, 2.0), (3.0, None)], (3.0, 3.0)),
        ([(-1.0, None), (None, None), (None, 0.5)], (-1.0, 0.5)),
    ],
)
def test_neighbouring_clamps_merge(
    bounds: list[tuple[float | None, float | None]], merged: tuple[float | None, float | None]
) -> None:
    net = Builder("n", (3, 5, 5))
    x = net.conv("c", INPUT, 4, 3)
    for i, (low, high) in enumerate(bounds):
        x = net.clamp(f"k{i}", x, low, high)
    graph = check(net.finish(net.flatten("f", x)))
    assert list(clamps(graph).values()) == [merged]


def test_a_clamp_without_bounds_disappears() -> None:
    net = Builder("n", (12,))
    graph = check(net.finish(net.clamp("k", net.linear("l", INPUT, 5), None, None)))
    assert [node.op for node in graph.nodes] == ["linear"]


def test_a_clamp_with_a_second_reader_above_does_not_merge() -> None:
    net = Builder("n", (4, 5, 5))
    a = net.relu("a", net.conv("c", INPUT, 4, 1))
    b = net.clamp("b", a, None, 1.0)
    graph = check(net.finish(net.flatten("f", net.add("s", a, b))))
    assert clamps(graph) == {"a": (0.0, None), "b": (None, 1.0)}


def test_clamps_rise_over_pools_and_moves() -> None:
    net = Builder("n", (3, 8, 8))
    x = net.max_pool("p", net.conv("c", INPUT, 4, 3), 2, 2, padding=1)
    x = net.slice("s", x, (0, 0, 0), (4, 4, 4), (1, 2, 1))
    x = net.pad("z", x, channels=(1, 2), padding=(1, 0, 0, 1))
    x = net.relu6("r", x)
    graph = check(net.finish(net.flatten("f", x)))
    assert [node.name for node in graph.nodes] == ["c", "r", "p", "s", "z", "f"]
    assert graph.shape("r") == (4, 6, 6)
    assert [value.name for value in graph.values] == [INPUT, "c", "r", "p", "s", "z", "f"]


def test_a_clamp_rises_over_flatten_and_stays_the_output_of_the_network() -> None:
    net = Builder("n", (3, 8, 8))
    x = net.relu("r", net.flatten("f", net.conv("c", INPUT, 4, 3)))
    graph = check(net.finish(x))
    assert [node.name for node in graph.nodes] == ["c", "r", "f"]
    assert graph.output == "f"


def test_a_clamp_above_zero_does_not_pass_zero_padding() -> None:
    net = Builder("n", (3, 8, 8))
    x = net.clamp("k", net.pad("z", net.conv("c", INPUT, 4, 3), padding=1), 0.5, None)
    graph = check(net.finish(net.flatten("f", x)))
    assert [node.name for node in graph.nodes] == ["c", "z", "k", "f"]


def test_a_clamp_does_not_pass_what_something_else_reads_too() -> None:
    net = Builder("n", (3, 8, 8))
    c = net.conv("c", INPUT, 4, 3)
    p = net.max_pool("p", c, 2, 2)
    r = net.relu("r", p)
    graph = check(net.finish(net.flatten("f", net.add("s", p, r))))
    assert [node.name for node in graph.nodes] == ["c", "p", "r", "s", "f"]
    net = Builder("n", (3, 8, 8))
    c = net.conv("c", INPUT, 4, 3)
    r = net.relu("r", net.max_pool("p", c, 1, 1))
    graph = check(net.finish(net.flatten("f", net.add("s", c, r))))
    assert [node.name for node in graph.nodes] == ["c", "p", "r", "s", "f"]


def test_a_clamp_does_not_pass_averages_and_sums() -> None:
    net = Builder("n", (3, 8, 8))
    x = net.relu("r", net.avg_pool("a", net.conv("c", INPUT, 4, 3), 2, 2))
    graph = check(net.finish(net.flatten("f", x)))
    assert [node.name for node in graph.nodes] == ["c", "a", "r", "f"]


def test_the_same_tensor_added_to_itself_keeps_both_reads() -> None:
    net = Builder("n", (4, 5, 5))
    b = net.batch_norm("b", net.conv("c", INPUT, 4, 1))
    graph = check(net.finish(net.flatten("f", net.add("s", b, b))))
    add = graph.nodes[1]
    assert add.op == "add"
    assert (add.a, add.b) == ("c", "c")


WINDOWS = [
    (size, kernel, stride, padding)
    for size in range(3, 12)
    for kernel in range(1, 4)
    for stride in range(1, 4)
    for padding in range(kernel // 2 + 1)
]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), WINDOWS)
def test_ceil_mode_becomes_plain_padding(size: int, kernel: int, stride: int, padding: int) -> None:
    import torch
    import torch.nn.functional as F  # noqa: N812

    x = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    expected = F.max_pool2d(x, kernel, stride, padding, ceil_mode=True)
    after = ceil_padding(size, (kernel, stride, 1), padding, padding)
    padded = F.pad(x, (padding, after, padding, after), value=-torch.inf)
    torch.testing.assert_close(F.max_pool2d(padded, kernel, stride), expected, rtol=0, atol=0)


def test_shapes_that_do_not_fit_are_named() -> None:
    net = Builder("n", (3, 8, 8))
    a = net.conv("a", INPUT, 4, 3)
    with pytest.raises(ShapeError, match=r"'s' adds tensors of shapes \(4, 6, 6\) and \(3, 8, 8\)"):
        net.add("s", a, INPUT)
    with pytest.raises(ShapeError, match="'g' has 3 groups, which do not divide"):
        net.conv("g", INPUT, 4, 3, groups=3)
    with pytest.raises(ShapeError, match="'k' would give an empty tensor"):
        net.conv("k", a, 4, 7)
    with pytest.raises(ShapeError, match="'t' concatenates shapes"):
        net.concat("t", (a, INPUT))


@pytest.mark.parametrize("seed", range(8))
def test_slices_of_slices_become_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Builder("n", (5, 14, 13))
    x = INPUT
    for i in range(3):
        shape = net.shapes[x]
        start = [int(rng.integers(0, max(1, n // 3))) for n in shape]
        stop = [int(rng.integers(a + 1, n + 1)) for a, n in zip(start, shape, strict=True)]
        x = net.slice(f"s{i}", x, start, stop, [int(rng.integers(1, 3)) for _ in shape])
    graph = check(net.finish(net.flatten("f", x)))
    assert [node.op for node in graph.nodes] == ["slice", "flatten"]
    assert graph.nodes[0].output == "s2"


def test_slices_are_kept_apart_where_the_middle_is_read_too() -> None:
    net = Builder("n", (4, 8, 8))
    a = net.slice("a", INPUT, (0, 0, 0), (4, 8, 8), (1, 2, 1))
    b = net.slice("b", a, (0, 0, 0), (4, 4, 8), (1, 1, 2))
    c = net.slice("c", a, (0, 0, 1), (4, 4, 8), (1, 1, 2))
    graph = check(net.finish(net.flatten("f", net.add("s", b, c))))
    assert [node.op for node in graph.nodes] == ["slice", "slice", "slice", "add", "flatten"]


def test_pads_of_pads_become_one() -> None:
    net = Builder("n", (4, 5, 5))
    x = net.pad("a", INPUT, channels=(1, 0), padding=(0, 1, 0, 0))
    x = net.pad("b", x, channels=(0, 2), padding=(3, 0, 0, 1))
    graph = check(net.finish(net.flatten("f", x)))
    pad = graph.nodes[0]
    assert pad.op == "pad"
    assert (pad.name, pad.channels, pad.padding) == ("b", (1, 2), (3, 1, 0, 1))
