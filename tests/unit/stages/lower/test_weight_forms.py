"""Layers whose weights have zero points or groups, whose sums are narrow, or whose widths are unusual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hawqlang.arith import width
from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.certificate import UnprovenError, certificate
from hawqlang.diagnostics import HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import GroupSize, WeightSettings
from hawqlang.ops import Conv2d, Linear
from hawqlang.stages.lower import Tuned
from hawqlang.stages.quantize import quantize_layer
from hawqlang.stages.structure import layer_nodes
from tests.unit.stages.lower.harness import Lowered, image, lowered
from tests.unit.stages.lower.test_networks import NETS, mixed
from tests.unit.stages.nets import residual_net

FORMS = {
    "affine": WeightSettings(scheme="affine"),
    "affine tensor": WeightSettings(scheme="affine", granularity="per_tensor"),
    "groups": WeightSettings(granularity=GroupSize(size=3)),
    "affine groups": WeightSettings(scheme="affine", granularity=GroupSize(size=2)),
    "stochastic": WeightSettings(rounding="stochastic"),
}


def formed(
    net: tuple[Graph, TensorStore],
    weights: WeightSettings,
    precisions: dict[str, Precision],
    **more: Any,
) -> Lowered:
    """Lower a network whose float weights are what its integer weights stand for."""
    graph, store = net
    settings: dict[str, LayerSettings] = {}
    made: dict[str, Any] = {}
    parameters = {p.name: p for p in graph.parameters}
    for node in layer_nodes(graph):
        precision = precisions.get(node.name, Precision(wbits=8, abits=8))
        own = LayerSettings(layer=node.name, precision=(precision,), weights=weights)
        ref = parameters[node.weight].ref
        assert ref is not None
        settings[node.name] = own
        made[node.name] = quantize_layer(store.get(ref), precision, own)
        real = store.put(made[node.name].real().astype(np.float32))
        parameters[node.weight] = parameters[node.weight].replace(ref=real)
    exact = graph.replace(parameters=tuple(parameters.values()))
    return lowered(
        (exact, store),
        precisions=precisions,
        layers=settings,
        tuned=Tuned(weights=made),
        exact_weights=False,
        **more,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["residual", "mobile", "inception", "signed sums"])
def test_every_operator_means_its_node(name: str, form: str) -> None:
    net = NETS[name]()
    found = formed(net, FORMS[form], mixed(net[0], "mixed"))
    found.assert_every_operator_means_its_node()
    layers = [op for op in found.program.ops if isinstance(op, Conv2d | Linear)]
    assert any(op.terms is not None for op in layers) == (form != "stochastic")


def test_groups_follow_channels_that_are_stored_in_another_order() -> None:
    """Features are flattened channel by channel in the model and pixel by pixel in memory; pixels enter as RGB."""
    net = residual_net()
    found = formed(net, FORMS["affine groups"], {}, source=image(8, 8, order="bgr"))
    found.assert_every_operator_means_its_node()
    stem = next(op for op in found.program.ops if op.name == "stem")
    assert isinstance(stem, Conv2d)
    assert stem.terms is not None
    assert stem.terms.group is not None
    np.testing.assert_array_equal(found.store.get(stem.terms.group), [1, 0, 0])


@pytest.mark.parametrize("precision", ["w2a8", "w3a6", "w12a5", "w4a12", "w8a16", "w5a9", "w16a2"])
@pytest.mark.parametrize("name", ["residual", "mobile", "fire"])
def test_unusual_widths_mean_what_they_say(name: str, precision: str) -> None:
    net = NETS[name]()
    wbits, abits = (int(n) for n in precision[1:].split("a"))
    chosen = Precision(wbits=wbits, abits=abits)
    found = lowered(net, precisions={n.name: chosen for n in layer_nodes(net[0])})
    found.assert_every_operator_means_its_node()
    assert any(t.bits == abits for t in found.program.tensors)


@pytest.mark.parametrize("kind", ["int16", "int24"])
def test_a_narrow_accumulator_is_proven_of_the_products_alone(kind: width.Accumulator) -> None:
    net = residual_net()
    precision = Precision(wbits=4, abits=4)
    names = [n.name for n in layer_nodes(net[0])]
    own = {n: LayerSettings(layer=n, precision=(precision,), accumulator=kind) for n in names}
    found = lowered(net, precisions=dict.fromkeys(names, precision), layers=own)
    assert certificate(found.program, found.store) == found.program.bounds
    for op in found.program.ops:
        if isinstance(op, Conv2d | Linear):
            assert op.accumulator == kind
            w = found.store.get(op.weight)
            bounds = [b for b in found.program.bounds if b.op == op.name]
            assert [b.limit for b in bounds] == [2**31 - 1, width.LIMITS[kind]]
            x = found.program.tensor(op.x)
            most = max(abs(end) for end in x.range)
            rows = np.abs(_weights(found, op)).reshape(op.weight_shape[0], -1).sum(axis=1)
            assert bounds[1].largest == int(rows.max()) * most
            assert w.dtype == np.uint8


def _weights(found: Lowered, op: Conv2d | Linear) -> np.ndarray[Any, Any]:
    from hawqlang.ops import Frame

    frame = Frame({}, {t.name: t for t in found.program.tensors}, found.store.get)
    return frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms).astype(np.int64)


def test_products_that_leave_their_accumulator_are_refused_with_layer_and_bound() -> None:
    own = {"b1.conv1": LayerSettings(layer="b1.conv1", precision=(), accumulator="int16")}
    with pytest.raises(HawqError) as caught:
        lowered(residual_net(), layers=own)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "HQ601"
    assert "'b1.conv1'" in diagnostic.message
    assert "int16" in diagnostic.message


def test_a_program_that_claims_a_narrower_accumulator_is_unproven() -> None:
    found = lowered(residual_net())
    ops = tuple(
        op.replace(accumulator="int16") if isinstance(op, Conv2d) and op.name == "stem" else op
        for op in found.program.ops
    )
    with pytest.raises(UnprovenError, match="int16 accumulator of 'stem'") as caught:
        certificate(found.program.replace(ops=ops), found.store)
    assert caught.value.limit == 2**15 - 1


def test_the_certificate_covers_the_scaled_sum_of_groups() -> None:
    found = formed(residual_net(), FORMS["groups"], {})
    conv = next(op for op in found.program.ops if op.name == "b2.conv1")
    assert isinstance(conv, Conv2d)
    assert conv.terms is not None
    whole = np.abs(_weights(found, conv)).reshape(8, -1).sum(axis=1)
    bias = np.abs(found.store.get(conv.bias).astype(np.int64))
    bound = next(b for b in found.program.bounds if b.op == "b2.conv1")
    assert bound.largest == int((whole * 255 + bias).max())
    assert int(whole.max()) > 127 * 4 * 9
