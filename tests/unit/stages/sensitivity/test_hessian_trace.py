"""Hutchinson's estimate against Hessians written out in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.diagnostics import HawqError
from hawqlang.ir.graph import Conv2d
from hawqlang.stages.batches import stream_of
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.sensitivity import hessian_trace
from hawqlang.stages.sensitivity.forward import run
from hawqlang.stages.sensitivity.hessian_trace import (
    Budget,
    Traces,
    Wanted,
    hessian_traces,
)
from hawqlang.stages.structure import layer_nodes
from tests.unit.stages.nets import Net, fire_net, residual_net

QUIET = Feedback()


def images(n: int, size: int = 8) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def trace_of(function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> float:
    hessian: Any = torch.autograd.functional.hessian(function, at)
    return float(hessian.reshape(at.numel(), at.numel()).diagonal().sum())


def exact(
    model: FloatModel, x: torch.Tensor, name: str, labels: torch.Tensor
) -> tuple[float, float]:
    """The mean diagonals of the Hessian in the weight and in the input of one layer, in full."""
    node = next(node for node in layer_nodes(model.graph) if node.name == name)
    weight = model.parameters[node.weight]

    def loss_of_weight(w: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(run(model, x, parameters={node.weight: w}), labels)

    shape = model.graph.shape(node.x)
    inputs = 0.0
    for i in range(len(x)):

        def loss_of_input(offset: torch.Tensor, i: int = i) -> torch.Tensor:
            logits = run(model, x[i : i + 1], read=lambda n, v: v + offset if n.name == name else v)
            return F.cross_entropy(logits, labels[i : i + 1])

        inputs += trace_of(loss_of_input, torch.zeros(1, *shape)) / len(x)
    return trace_of(loss_of_weight, weight) / weight.numel(), inputs / int(np.prod(shape))


def estimate(
    model: FloatModel, x: torch.Tensor, names: tuple[str, ...], probes: int, seed: int = 0
) -> Traces:
    return hessian_traces(
        model, stream_of(x), Wanted(names, names), Budget(probes, 0.0, seed), QUIET
    )


@pytest.mark.parametrize("make", [residual_net, fire_net])
@pytest.mark.parametrize("labels", [[0, 3, 1], [2, 2, 4]])
def test_with_a_probe_for_every_class_the_trace_is_that_of_the_full_hessian(
    make: Any, labels: list[int]
) -> None:
    model = FloatModel(*make())
    names = tuple(node.name for node in layer_nodes(model.graph))
    found = estimate(model, images(3), names, probes=5)
    assert (found.probes, found.converged) == (5, True)
    for name in names[1:3]:
        weight, inputs = exact(model, images(3), name, torch.tensor(labels))
        assert found.weights[name].mean == pytest.approx(weight, rel=1e-4)
        assert found.inputs[name].mean == pytest.approx(inputs, rel=1e-4)
        assert found.weights[name].stderr == 0


def many_classes(classes: int = 40) -> FloatModel:
    net = Net((3, 6, 6))
    body = net.relu("body.relu", net.conv("body", "x", 4, groups=1, stride=2))
    deep = net.relu("deep.relu", net.conv("deep", body, 4, groups=2))
    logits = net.linear("fc", net.flatten("flat", net.avg_pool("pool", deep)), classes)
    return FloatModel(net.graph(logits), net.store)


def test_random_probes_come_within_their_standard_error_of_the_full_hessian() -> None:
    model = many_classes()
    x = images(4, 6)
    labels = torch.zeros(4, dtype=torch.int64)
    found = estimate(model, x, ("body", "deep"), probes=39)
    for name in ("body", "deep"):
        for got, want in zip(
            (found.weights[name], found.inputs[name]), exact(model, x, name, labels), strict=True
        ):
            assert 0 < got.stderr < 0.2 * want
            assert abs(got.mean - want) <= 4 * got.stderr


def test_the_standard_error_is_that_of_repeated_estimates() -> None:
    model = many_classes()
    x = images(2, 6)
    runs = [estimate(model, x, ("deep",), probes=24, seed=s).weights["deep"] for s in range(60)]
    spread = float(np.std([r.mean for r in runs], ddof=1))
    assert spread == pytest.approx(float(np.mean([r.stderr for r in runs])), rel=0.3)


def test_a_linear_softmax_has_the_trace_of_its_closed_form() -> None:
    net = Net((6,))
    model = FloatModel(net.graph(net.linear("fc", "x", 4)), net.store)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
    p = model.forward(x).softmax(1)
    spread = (p * (1 - p)).sum(1)
    w = model.parameters["fc.weight"]
    inner = torch.einsum("nk,kj,kj->n", p, w, w) - (p @ w).square().sum(1)
    found = estimate(model, x, ("fc",), probes=4)
    weight = float((spread * x.square().sum(1)).mean()) / 24
    assert found.weights["fc"].mean == pytest.approx(weight, rel=1e-5)
    assert found.inputs["fc"].mean == pytest.approx(float(inner.mean()) / 6, rel=1e-5)


@pytest.mark.parametrize(
    ("stride", "groups", "padding", "dilation"),
    [(2, 1, (0, 0, 1, 1), 1), (1, 4, (1, 1, 1, 1), 1), (1, 2, (2, 2, 2, 2), 2)],
)
def test_every_kind_of_convolution_has_the_trace_of_its_full_hessian(
    stride: int, groups: int, padding: Any, dilation: int
) -> None:
    net = Net((3, 6, 6))
    body = net.relu("body.relu", net.conv("body", "x", 4))
    net.conv("odd", body, 4, groups=groups)
    node = net.nodes.pop()
    assert isinstance(node, Conv2d)
    odd = node.replace(stride=(stride, stride), padding=padding, dilation=(dilation, dilation))
    top = (6 + padding[0] + padding[2] - 2 * dilation - 1) // stride + 1
    pooled = net.avg_pool("pool", net.push(odd, (4, top, top)))
    model = FloatModel(net.graph(net.linear("fc", net.flatten("flat", pooled), 3)), net.store)
    weight, inputs = exact(model, images(2, 6), "odd", torch.tensor([0, 1]))
    found = estimate(model, images(2, 6), ("odd",), probes=3)
    assert found.weights["odd"].mean == pytest.approx(weight, rel=1e-4)
    assert found.inputs["odd"].mean == pytest.approx(inputs, rel=1e-4)


def test_readers_of_one_tensor_have_traces_of_their_own() -> None:
    net = Net((3, 4, 4))
    loud = net.conv("loud", "x", 2)
    quiet = net.conv("quiet", "x", 2, weight=np.zeros((2, 3, 3, 3)))
    pooled = net.avg_pool("pool", net.add("sum", loud, quiet))
    model = FloatModel(net.graph(net.linear("fc", net.flatten("flat", pooled), 3)), net.store)
    found = estimate(model, images(2, 4), ("loud", "quiet"), probes=3)
    assert found.inputs["loud"].mean > 0
    assert found.inputs["quiet"].mean == 0


def test_the_samples_can_go_through_in_any_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = many_classes()
    whole = estimate(model, images(5, 6), ("body", "deep"), probes=20)
    monkeypatch.setattr(hessian_trace, "GRAPH_BYTES", 1)
    single = estimate(model, images(5, 6), ("body", "deep"), probes=20)
    for name in ("body", "deep"):
        assert whole.weights[name].mean == pytest.approx(single.weights[name].mean, rel=1e-5)


def test_the_seed_determines_every_number() -> None:
    model = many_classes()
    first, again, other = (
        estimate(model, images(5, 6), ("deep",), probes=12, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_it_stops_once_every_layer_meets_the_tolerance() -> None:
    model = many_classes(4001)
    seen: list[tuple[int, int]] = []
    feedback = Feedback(progress=lambda done, total: seen.append((done, total)))
    wanted = Wanted(weights=("deep",), inputs=())
    found = hessian_traces(model, stream_of(images(4, 6)), wanted, Budget(2000, 0.1, 0), feedback)
    assert found.converged
    assert found.probes < 600
    assert found.weights["deep"].stderr <= 0.1 * found.weights["deep"].mean
    assert seen[-1] == (found.probes, 2000)
    early = hessian_traces(model, stream_of(images(2, 6)), wanted, Budget(8, 1e-9, 0), QUIET)
    assert (early.converged, early.probes, early.worst) == (False, 8, "deep")


def test_a_trace_that_is_not_finite_names_the_layer() -> None:
    model = FloatModel(*fire_net())
    model.parameters["left.weight"] = model.parameters["left.weight"] * float("nan")
    with pytest.raises(HawqError, match=r"HQ420: the Hessian trace of 'stem' is not finite"):
        estimate(model, images(2), ("stem", "left"), probes=2)
