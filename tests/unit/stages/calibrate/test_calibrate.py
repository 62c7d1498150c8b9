"""Calibration of small networks."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import ActivationSettings, ImageInput, MinMax, Mse, TensorInput
from hawqlang.stages import batches
from hawqlang.stages.batches import stream_of
from hawqlang.stages.calibrate import calibrate, describe, input_interval, range_requests
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import stored_params
from hawqlang.stages.structure import Form, forms, layer_nodes
from tests.unit.stages.nets import Net, fire_net, residual_net

W8A8, W4A4 = Precision(wbits=8, abits=8), Precision(wbits=4, abits=4)
MINMAX = ActivationSettings(range=MinMax())


def settings_of(graph: Graph, rules: dict[str, ActivationSettings]) -> dict[str, LayerSettings]:
    return {
        node.name: LayerSettings(
            layer=node.name, precision=(W4A4, W8A8), activations=rules.get(node.name, MINMAX)
        )
        for node in layer_nodes(graph)
    }


def run(
    net: tuple[Graph, TensorStore],
    x: torch.Tensor,
    *,
    feedback: Feedback | None = None,
    default: ActivationSettings = MINMAX,
    rules: dict[str, ActivationSettings] | None = None,
) -> RangeTable:
    feedback = feedback or Feedback()
    graph, store = net
    settings = settings_of(graph, rules or {})
    if default is not MINMAX:
        settings = {
            n: LayerSettings(layer=n, precision=(W4A4, W8A8), activations=default) for n in settings
        }
    requests = range_requests(graph, settings, default, 8, feedback.report)
    return calibrate(
        FloatModel(graph, store),
        stream_of(x),
        requests,
        interval=(-2.0, 2.5),
        default=default,
        feedback=feedback,
    )


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2.5)


@pytest.mark.parametrize("make", [residual_net, fire_net])
def test_every_form_that_any_allocation_stores_has_a_range(make: Any) -> None:
    net = make()
    params = stored_params(net[0], run(net, images(4)))
    for bits in (4, 8):
        abits = {node.name: bits for node in layer_nodes(net[0])}
        for wanted in forms(net[0], abits, 8).values():
            assert all(form in params or form.bits == 32 for form in wanted)


def test_the_input_has_the_range_of_its_pixels_whatever_the_samples() -> None:
    table = run(residual_net(), images(2) * 0.1)
    assert [(r.bits, r.low, r.high) for r in table.ranges if r.tensor == "x"] == [
        (4, -2.0, 2.5),
        (8, -2.0, 2.5),
    ]


def test_minmax_is_the_extreme_of_the_float_network_after_the_clamp() -> None:
    net = residual_net()
    x = images(16)
    kept = FloatModel(*net).run(x, keep=("b1.relu2", "pool")).kept
    table = run(net, x)
    for name, value in kept.items():
        row = table.find(name, 8)
        assert (row.low, row.high) == (0.0, pytest.approx(value.max().item(), rel=1e-5))
    assert table.samples == 16
    assert table.method == "minmax"


def test_parts_of_a_concat_are_observed_together() -> None:
    net = fire_net()
    x = images(8)
    kept = FloatModel(*net).run(x, keep=("left.relu", "right.relu")).kept
    table = run(net, x)
    assert table.find("concat", 4).high == max(v.max().item() for v in kept.values())
    assert {"left.relu", "right.relu"}.isdisjoint(row.tensor for row in table.ranges)


def test_batches_do_not_change_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(12)
    default = ActivationSettings()
    whole = run(residual_net(), x, default=default)
    monkeypatch.setattr(batches, "LARGEST_CHUNK", 5)
    split = run(residual_net(), x, default=default)
    for a, b in zip(split.ranges, whole.ranges, strict=True):
        assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=1e-5)


def test_a_layer_rule_sets_the_range_of_what_the_layer_reads() -> None:
    rule = ActivationSettings(range=Mse(), scheme="symmetric")
    table = run(residual_net(), images(4), rules={"b2.conv1": rule})
    plain = run(residual_net(), images(4))
    assert table.find("b1.relu2", 4).high < plain.find("b1.relu2", 4).high
    assert table.find("b1.relu2", 4).scheme == "symmetric"
    assert table.find("b2.relu1", 4) == plain.find("b2.relu1", 4)


def test_rules_that_disagree_about_a_shared_tensor_are_reported() -> None:
    said: list[Diagnostic] = []
    rules = {
        "left": ActivationSettings(range=Mse()),
        "right": ActivationSettings(range=MinMax(), scheme="symmetric"),
    }
    run(fire_net(), images(2), feedback=Feedback(report=said.append), rules=rules)
    assert [d.code for d in said] == ["HQ413", "HQ413"]
    assert "'left' and 'right'" in said[0].message


def test_progress_counts_samples() -> None:
    seen: list[tuple[int, int]] = []
    feedback = Feedback(progress=lambda done, total: seen.append((done, total)))
    run(residual_net(), images(70), feedback=feedback)
    assert seen == [(64, 70), (70, 70)]


def test_values_that_are_not_finite_name_the_layer() -> None:
    x = images(2)
    x[1, 0, 0, 0] = float("nan")
    with pytest.raises(HawqError, match=r"HQ410: the result of 'stem' is not finite"):
        run(residual_net(), x)


def test_a_dead_layer_and_a_constant_one_are_reported_by_name() -> None:
    net = Net((3, 8, 8))
    zero = net.relu("dead.relu", net.conv("dead", "x", 2, bias=torch.full((2,), -1e6).numpy()))
    same = net.conv("same", zero, 2, weight=torch.zeros(2, 2, 3, 3).numpy(), bias=ONES)
    out = net.conv("out", net.relu("same.relu", same), 2)
    said: list[Diagnostic] = []
    built = net.graph(out), net.store
    table = run(built, images(3), feedback=Feedback(report=said.append))
    assert [d.code for d in said] == ["HQ411", "HQ412"]
    assert "'dead'" in said[0].message
    assert "'same' is 2" in said[1].message
    assert stored_params(built[0], table)[Form("dead.relu", 8)].scale == 1.0


ONES = torch.full((2,), 2.0).numpy()


def test_no_samples_is_an_error() -> None:
    with pytest.raises(HawqError, match="HQ414"):
        run(residual_net(), images(0))


def test_the_input_interval_follows_mean_std_and_scale() -> None:
    image = ImageInput(
        height=2,
        width=2,
        mean=(Fraction(1, 2), Fraction(1, 4), Fraction(0)),
        std=(Fraction(1, 4), Fraction(1), Fraction(1)),
    )
    assert input_interval(image) == (-2.0, 2.0)
    tensor = TensorInput(dims=(3,), low=Fraction(-1, 2), high=Fraction(3))
    assert input_interval(tensor) == (-0.5, 3.0)


def test_methods_are_named_as_a_spec_writes_them() -> None:
    assert describe(ActivationSettings().range) == "percentile(99.99%)"
    assert describe(Mse()) == "mse"
