"""What lowering refuses, and the numbers it chooses where a network is degenerate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from hawqlang.arith import width
from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import HawqError
from hawqlang.diagnostics.codes_6xx import ENTRIES
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Clamp, Graph, Pad
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import Percentile, WeightSettings
from hawqlang.ops import AvgPool2d, Conv2d, Linear
from hawqlang.stages.lower import LowerSettings, Tuned, lower
from hawqlang.stages.quantize import QuantizedWeight
from tests.unit.stages.lower.harness import W8A8, image, lowered
from tests.unit.stages.nets import Net, fire_net, residual_net

Built = tuple[Graph, TensorStore]


def tiny(seed: int = 0, *, size: int = 4) -> Built:
    net = Net((3, size, size), seed)
    x = net.relu("relu", net.conv("conv", "x", 4))
    return net.graph(net.linear("fc", net.flatten("flat", x), 3)), net.store


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(HawqError) as caught:
        act()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.help
    return f"{diagnostic.code} {diagnostic.message}"


def layer(**settings: object) -> LayerSettings:
    return LayerSettings(layer="", precision=(W8A8,), **settings)  # pyright: ignore[reportArgumentType]


def test_a_layer_that_could_overflow_int32_is_refused() -> None:
    net = Net((2**17,), 0)
    x = net.relu("relu", net.linear("wide", "x", 1))
    graph = net.graph(net.linear("fc", x, 2))
    graph = graph.replace(
        parameters=tuple(
            p.replace(ref=net.store.put(np.ones(p.shape, np.float32)))
            if p.name == "wide.weight"
            else p
            for p in graph.parameters
        )
    )
    from hawqlang.ir.spec import TensorInput

    source = TensorInput(dims=(2**17,), low=Fraction(0), high=Fraction(1))
    text = refusal(lambda: lowered((graph, net.store), source, exact_weights=False))
    assert text.startswith("HQ601 the sums of 'wide' can reach")
    assert str(2**17 * 127 * 255)[:4] in text
    narrow = {"wide": Precision(wbits=4, abits=8)}
    lowered((graph, net.store), source, narrow, exact_weights=False)


def test_a_narrow_accumulator_must_hold_the_products() -> None:
    text = refusal(lambda: lowered(tiny(), layers={"fc": layer(accumulator="int16")}))
    assert text.startswith("HQ601 the sums of 'fc'")
    assert "int16" in text
    w2a2 = {"fc": Precision(wbits=2, abits=2)}
    lowered(tiny(), precisions=w2a2, layers={"fc": layer(accumulator="int16")})


def test_no_random_input_passes_the_certificate() -> None:
    found = lowered(residual_net(), count=16)
    bounds = {bound.op: bound for bound in found.program.bounds}
    from hawqlang.ops import Frame
    from hawqlang.ops.conv2d import accumulate

    arrays = found.integers()
    tensors = {t.name: t for t in found.program.tensors}
    convolutions = [op for op in found.program.ops if isinstance(op, Conv2d)]
    assert convolutions
    for op in convolutions:
        acc = accumulate(op, Frame(arrays, tensors, found.store.get))
        assert np.abs(acc).max() <= bounds[op.name].largest <= bounds[op.name].limit


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        (Precision(wbits=1, abits=8), "HQ602 weights of 'conv' of 1 bits"),
    ],
)
def test_widths_without_an_integer_form_are_refused(precision: Precision, expected: str) -> None:
    act = refusal(lambda: lowered(tiny(), precisions={"conv": precision}, exact_weights=False))
    assert act.startswith(expected)


def test_a_missing_range_is_named() -> None:
    graph, store = tiny()
    table = RangeTable(ranges=(), method="minmax", samples=1)
    settings = LowerSettings(input=image(4, 4))
    text = refusal(lambda: lower(graph, table, {"conv": W8A8, "fc": W8A8}, settings, store))
    assert text == "HQ603 the range of 'x' at 8 bits was not calibrated"


def with_range(built: Built, **high: float) -> Callable[[], object]:
    """Lower with the ranges of some tensors replaced by ``[0, high]``; a name's dots are written as ``__``."""
    graph, store = built
    found = lowered(built)
    wanted = {name.replace("__", "."): value for name, value in high.items()}
    table = RangeTable(
        ranges=tuple(
            row.replace(low=0.0, high=wanted[row.tensor]) if row.tensor in wanted else row
            for row in found.draft.request.ranges.ranges
        ),
        method="minmax",
        samples=1,
    )
    precisions = {node.name: W8A8 for node in graph.nodes if node.op in ("conv2d", "linear")}
    settings = LowerSettings(input=found.source)
    return lambda: lower(found.graph, table, precisions, settings, store)


def test_both_operands_of_a_sum_count_towards_int32() -> None:
    """The convolution's share of 1.9e9 and the operand's of 0.4e9 fit int32 one by one, not together."""
    found = lowered(residual_net())
    conv = next(op for op in found.program.ops if isinstance(op, Conv2d) and op.name == "b1.conv2")
    m, s = (found.store.get(ref) for ref in (conv.stores[0].multiplier, conv.stores[0].shift))
    bound = next(b for b in found.program.bounds if b.op == "b1.conv2")
    reach = bound.largest * int(m[bound.channel]) / 2.0 ** int(s[bound.channel])
    step = reach * found.scales.scale("b1.relu2:u8") / 1.9e9

    def act(share: float) -> Callable[[], object]:
        return with_range(residual_net(), b1__relu2=255 * step, stem__relu=share * step)

    act(0.1e9)()
    assert refusal(act(0.4e9)).startswith("HQ606 the result 'b1.relu2:u8' of 'b1.conv2'")


def test_an_almost_empty_range_is_refused() -> None:
    assert refusal(with_range(tiny(), relu=1e-12)).startswith("HQ604")


def test_a_result_that_leaves_int32_is_refused() -> None:
    assert refusal(with_range(tiny(), relu=1e-7)).startswith("HQ606")


def test_a_residual_operand_far_above_its_sum_is_refused() -> None:
    act = with_range(residual_net(), b1__relu2=1e-7)
    assert refusal(act).startswith("HQ604 'b1.relu2:u8' would have to scale")


def test_an_output_that_is_a_flattened_map_is_refused() -> None:
    net = Net((3, 4, 4), 0)
    graph = net.graph(net.flatten("flat", net.conv("conv", "x", 2)))
    assert refusal(lambda: lowered((graph, net.store))).startswith("HQ605 'flat'")


def test_bgr_pixels_do_not_fit_a_grouped_convolution() -> None:
    net = Net((3, 4, 4), 0)
    x = net.conv("conv", "x", 6, groups=3)
    graph = net.graph(net.linear("fc", net.flatten("flat", x), 2))
    act = refusal(lambda: lowered((graph, net.store), image(4, 4, order="bgr")))
    assert act.startswith("HQ605 'conv'")


def test_weights_that_were_not_read_are_refused() -> None:
    graph, store = tiny()
    found = lowered((graph, store))
    bare = graph.replace(parameters=tuple(p.replace(ref=None) for p in graph.parameters))
    settings = LowerSettings(input=found.source)
    table = found.draft.request.ranges
    text = refusal(lambda: lower(bare, table, {"conv": W8A8, "fc": W8A8}, settings, store))
    assert text == "HQ607 the values of 'conv.weight' were not read"


def test_weights_that_are_not_finite_are_refused() -> None:
    graph, store = tiny()
    found = lowered((graph, store))
    bad = graph.replace(
        parameters=tuple(
            p.replace(ref=store.put(np.full(p.shape, np.nan, np.float32)))
            if p.name == "fc.weight"
            else p
            for p in graph.parameters
        )
    )
    settings = LowerSettings(input=found.source)
    table = found.draft.request.ranges
    text = refusal(lambda: lower(bad, table, {"conv": W8A8, "fc": W8A8}, settings, store))
    assert text.startswith("HQ608 the parameters of 'fc'")


def test_a_clamp_that_excludes_padded_zeros_is_refused() -> None:
    net = Net((3, 4, 4), 0)
    x = net.conv("conv", "x", 2)
    pad = net.push(Pad(name="pad", x=x, output="pad", padding=(1, 1, 1, 1)), (2, 6, 6))
    x = net.push(Clamp(name="clip", x=pad, output="clip", low=0.5, high=6.0), (2, 6, 6))
    graph = net.graph(net.linear("fc", net.flatten("flat", x), 2))
    assert refusal(lambda: lowered((graph, net.store))).startswith("HQ610 'pad'")


def test_every_code_raised_has_an_entry() -> None:
    assert [entry.code for entry in ENTRIES] == [f"HQ6{n:02}" for n in (*range(1, 9), 10)]


def test_a_dead_channel_keeps_its_bias() -> None:
    """Weights that have vanished beside their bias would need a bias beyond int32 at their own scale."""
    net = Net((3, 4, 4), 0)
    weight = net.rng.normal(size=(3, 3, 3, 3)) / 5
    weight[1] = 1e-20
    weight[2] = 0.0
    x = net.conv("conv", "x", 3, weight=weight, bias=np.array([0.1, 0.7, -0.4]))
    graph = net.graph(net.linear("fc", net.flatten("flat", x), 2))
    found = lowered((graph, net.store))
    found.assert_every_operator_means_its_node()


def test_one_scale_for_a_whole_tensor() -> None:
    settings = WeightSettings(granularity="per_tensor", range=Percentile(p=Fraction(99, 100)))
    found = lowered(tiny(), layers={"conv": layer(weights=settings)}, exact_weights=False)
    conv = next(op for op in found.program.ops if isinstance(op, Conv2d))
    assert len(set(found.store.get(conv.stores[0].multiplier).tolist())) == 1
    assert found.relative_error() < 0.1


def test_a_corrected_bias_replaces_the_graphs() -> None:
    graph, store = tiny()
    plain = lowered((graph, store))
    shifted = lowered((graph, store), tuned=Tuned(biases={"fc": np.array([9.0, -9.0, 0.0])}))
    bias = store.get(next(p.ref for p in graph.parameters if p.name == "fc.bias" and p.ref))
    difference = shifted.logits() - plain.logits()
    expected = np.array([9.0, -9.0, 0.0]) - bias
    np.testing.assert_allclose(difference, np.broadcast_to(expected, difference.shape), atol=1e-3)


def test_tuned_integers_are_taken_as_they_are() -> None:
    graph, store = tiny()
    q = np.arange(-96, 96, dtype=np.int8).reshape(3, 64)
    tuned = Tuned(weights={"fc": QuantizedWeight(q, np.array([0.01, 0.02, 0.04]))})
    found = lowered((graph, store), tuned=tuned)
    fc = next(op for op in found.program.ops if isinstance(op, Linear))
    order = found.draft.orders["flat"]
    packed = found.store.get(fc.weight).view(np.int8).reshape(3, 64)
    np.testing.assert_array_equal(packed, q[:, list(order)])


def test_logits_use_the_whole_of_int32_at_one_scale() -> None:
    found = lowered(tiny())
    bound = next(b for b in found.program.bounds if b.op == "fc")
    fc = next(op for op in found.program.ops if isinstance(op, Linear))
    (store,) = fc.stores
    m, s = found.store.get(store.multiplier), found.store.get(store.shift)
    top = max((bound.largest * int(a)) >> int(b) for a, b in zip(m, s, strict=True))
    assert (store.lo, store.hi) == (width.INT32_MIN, width.INT32_MAX)
    assert top > 2**30


def test_pooled_logits_use_the_whole_of_int32_too() -> None:
    found = lowered(fire_net())
    pool = next(op for op in found.program.ops if isinstance(op, AvgPool2d))
    (store,) = pool.stores
    m, s = (int(found.store.get(ref)[0]) for ref in (store.multiplier, store.shift))
    bound = next(b for b in found.program.bounds if b.op == pool.name)
    assert 2**30 < (bound.largest * m) >> s < 2**31
