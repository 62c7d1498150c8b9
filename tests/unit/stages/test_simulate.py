"""The quantized network in float, against the contract computed by hand in integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import quantize_weight, stored_params
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import Form, layer_nodes, root_readers
from tests.unit.stages.nets import Net, fire_net, residual_net


def simulate(
    net: tuple[Graph, TensorStore],
    abits: Mapping[str, int],
    *,
    wbits: int = 8,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Simulation:
    graph = net[0]
    names = [node.name for node in layer_nodes(graph)]
    rows = tuple(
        TensorRange(tensor=root, bits=bits, low=low, high=high)
        for root in root_readers(graph)
        for bits in (4, 8, 16)
        for low, high in [(ranges or {}).get(root, (-6.0, 6.0))]
    )
    precision = {n: Precision(wbits=wbits, abits=abits.get(n, 8)) for n in names}
    settings = {n: LayerSettings(layer=n, precision=(precision[n],)) for n in names}
    table = RangeTable(ranges=rows, method="minmax", samples=1)
    return Simulation(FloatModel(*net), table, Deployment(precision, settings), dtype)


def images(n: int, size: int = 8) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [residual_net, fire_net])
def test_many_bits_come_close_to_the_float_network(make: Any) -> None:
    net = make()
    x = images(4)
    names = [node.name for node in layer_nodes(net[0])]
    exact = FloatModel(*net).forward(x)
    error = {
        bits: (simulate(net, dict.fromkeys(names, bits), wbits=bits).run(x) - exact).abs().max()
        for bits in (4, 8, 16)
    }
    assert error[4] > error[8] > error[16] * 0.9
    # Additions and the tail of the network read 8 bits whatever the layers do.
    assert error[16] < 0.05 * exact.std()


def test_a_layer_multiplies_integers_exactly() -> None:
    net = Net((3, 4, 4))
    graph = net.graph(net.conv("only", "x", 2))
    sim = simulate((graph, net.store), {"only": 4})
    x = images(2, 4)
    params = stored_params(graph, RangeTable(ranges=(ROW,), method="", samples=1))[Form("x", 4)]
    weight = quantize_weight(net.store.get(graph.parameters[0].ref).copy(), 8)  # pyright: ignore[reportArgumentType]
    q = np.pad(params.quantize(x.numpy()) - params.zero_point, ((0, 0), (0, 0), (1, 1), (1, 1)))
    acc = np.zeros((2, 2, 4, 4), np.int64)
    for i in range(4):
        for j in range(4):
            window = q[:, :, i : i + 3, j : j + 3]
            acc[:, :, i, j] = np.einsum("ncij,ocij->no", window, weight.q.astype(np.int64))
    step = weight.scale * params.scale
    bias = net.store.get(graph.parameters[1].ref)  # pyright: ignore[reportArgumentType]
    acc += np.rint(bias / step).astype(np.int64)[:, None, None]
    np.testing.assert_allclose(sim.run(x), acc * step[:, None, None], rtol=1e-12)


ROW = TensorRange(tensor="x", bits=4, low=-6.0, high=6.0)


def test_each_reader_gets_its_own_width_from_the_unrounded_value() -> None:
    net = Net((3, 4, 4))
    shared = net.relu("shared", net.conv("stem", "x", 4))
    graph = net.graph(net.add("sum", net.conv("wide", shared, 2), net.conv("narrow", shared, 2)))
    sim = simulate((graph, net.store), {"wide": 8, "narrow": 4})
    x = images(2, 4)
    entered = sim.enter(x)
    acc = sim.accumulate("stem", lambda key: entered[key])
    stored = sim.compute(graph.nodes[0], lambda key: entered[key])
    assert {key.form.bits for key in stored if key.form} == {4, 8}
    for key, value in stored.items():
        assert key.form is not None
        params = sim.params[key.form]
        np.testing.assert_array_equal(
            params.dequantize(params.quantize(acc.numpy())), value.numpy()
        )


def test_an_addition_rounds_both_addends_on_the_grid_of_the_sum() -> None:
    net = Net((3, 4, 4))
    left = net.relu("left.relu", net.conv("left", "x", 2))
    total = net.relu("sum.relu", net.add("sum", left, net.conv("right", "x", 2)))
    graph = net.graph(net.conv("out", total, 2))
    sim = simulate((graph, net.store), {}, ranges={"sum.relu": (0.0, 2.0)})
    entered = sim.enter(images(2, 4))
    state = dict(entered)

    def lookup(key: Any) -> torch.Tensor:
        return state[key] if key.form is not None else sim.accumulate(key.value, lookup)

    for node in graph.nodes[:4]:
        state.update(sim.compute(node, lookup))
    node = graph.nodes[3]
    (got,) = sim.compute(node, lookup).values()
    step = 2.0 / 255

    def rounded(v: torch.Tensor) -> npt.NDArray[np.float64]:
        return np.floor(v.numpy() / step + 0.5)

    a = state[next(key for key in state if key.value == "left.relu")]
    b = sim.accumulate("right", lookup)
    np.testing.assert_allclose(
        got.numpy(), np.clip(rounded(a) + rounded(b), 0, 255) * step, rtol=1e-12
    )


def test_the_logits_are_not_rounded_to_few_levels() -> None:
    sim = simulate(residual_net(), {})
    assert len(np.unique(sim.run(images(64)).numpy())) > 300


def test_stored_values_survive_encoding() -> None:
    net = residual_net()
    sim = simulate(net, {"b1.conv1": 4})
    x = torch.linspace(-7, 7, 999, dtype=torch.float64)
    for form, params in sim.params.items():
        stored = sim.store(x.clone(), form)
        codes = sim.encode(stored, form)
        assert codes.dtype == (
            torch.int32 if form.bits == 16 else torch.int8 if params.signed else torch.uint8
        )
        np.testing.assert_allclose(sim.decode(codes, form), stored, rtol=1e-12)


def test_a_corrected_bias_replaces_the_layers_own() -> None:
    net = residual_net()
    sim = simulate(net, {})
    before = sim.run(images(2))
    bias = np.asarray(FloatModel(*net).parameters["fc.bias"], np.float64)
    sim.set_bias("fc", bias + 1.0)
    np.testing.assert_allclose(sim.run(images(2)) - before, 1.0, atol=1e-3)


def test_a_clamp_bounds_what_is_stored_behind_it() -> None:
    net = Net((3, 4, 4))
    capped = net.relu("cap", net.max_pool("pool", net.conv("a", "x", 4)), high=0.5)
    graph = net.graph(net.conv("b", capped, 2))
    sim = simulate((graph, net.store), {}, ranges={"cap": (0.0, 3.0)})
    state = sim.enter(images(2, 4))
    for node in graph.nodes[:3]:
        state.update(sim.compute(node, lambda key: state[key]))
    cap = next(value for key, value in state.items() if key.value == "cap")
    assert cap.min() == 0.0
    assert cap.max().item() == pytest.approx(0.5, abs=3 / 255)


def test_unfolded_batch_norm_and_padded_pool_run() -> None:
    net = Net((3, 8, 8))
    x = net.batch_norm(
        "bn", net.max_pool("pool", net.relu("r", net.conv("a", "x", 4))), [1, -1, 2, 1]
    )
    graph = net.graph(net.conv("b", net.relu("r2", x), 2))
    sim = simulate((graph, net.store), {}, ranges={"r": (0.0, 4.0), "r2": (0.0, 8.0)})
    exact = FloatModel(graph, net.store).forward(images(3))
    assert (sim.run(images(3)) - exact).abs().max() < 0.1 * exact.std()
