"""Whole small networks: the integer program means what the float network means."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.interpret import interpret
from hawqlang.ir.graph import AvgPool2d, Conv2d, Graph, MaxPool2d
from hawqlang.ir.spec import TensorInput
from hawqlang.ops import Add, Concat, Slice
from hawqlang.ops import Conv2d as IntegerConv
from tests.unit.stages.lower.harness import image, lowered
from tests.unit.stages.nets import Net, fire_net, residual_net

W4A4 = Precision(wbits=4, abits=4)
W4A8 = Precision(wbits=4, abits=8)


def two_convolutions_meet() -> tuple[Graph, TensorStore]:
    """A residual block whose shortcut is a convolution too, and whose sum has no clamp."""
    net = Net((3, 6, 6))
    stem = net.relu("relu", net.conv("stem", "x", 4))
    main = net.conv("main2", net.relu("relu1", net.conv("main1", stem, 6, stride=2)), 6)
    short = net.conv("short", stem, 6, 1, stride=2, pad=0)
    total = net.add("add", main, short)
    return net.graph(net.linear("fc", net.flatten("flat", net.avg_pool("pool", total)), 4)), (
        net.store
    )


def preactivation() -> tuple[Graph, TensorStore]:
    """Batch norms that no convolution precedes, some gammas negative."""
    net = Net((3, 6, 6), 3)
    stem = net.conv("stem", "x", 4)
    norm = net.relu("relu1", net.batch_norm("bn1", stem, [1.5, -0.7, 0.2, -2.0]))
    total = net.add("add", net.conv("conv1", norm, 4), stem)
    last = net.relu("relu2", net.batch_norm("bn2", total, [-1.0, 1.0, 0.0, 0.5]))
    return net.graph(net.linear("fc", net.flatten("flat", net.avg_pool("pool", last)), 4)), (
        net.store
    )


def mobile() -> tuple[Graph, TensorStore]:
    """Depthwise and pointwise layers, ReLU6, one-sided padding, a feature map that is not square."""
    net = Net((3, 9, 7), 4)
    weight = net.parameter("stem.weight", net.rng.normal(size=(4, 3, 3, 3)) / 5)
    stem = net.push(
        Conv2d(
            name="stem",
            x="x",
            output="stem",
            weight=weight,
            bias=None,
            stride=(2, 1),
            padding=(0, 1, 1, 1),
        ),
        (4, 4, 7),
    )
    x = net.relu("stem.relu", stem, high=6.0)
    x = net.relu("dw.relu", net.conv("dw", x, 4, groups=4), high=6.0)
    x = net.relu("pw.relu", net.conv("pw", x, 8, 1), high=0.5)
    x = net.conv("grouped", x, 6, groups=2, stride=2)
    return net.graph(net.flatten("flat", net.avg_pool("pool", x))), net.store


def inception() -> tuple[Graph, TensorStore]:
    """Branches through pools into a concat, borders in the average pool, a dilated convolution."""
    net = Net((3, 7, 6), 5)
    stem = net.relu("relu", net.conv("stem", "x", 4))
    mean = net.push(
        AvgPool2d(
            name="mean", x=stem, output="mean", kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)
        ),
        (4, 7, 6),
    )
    b1 = net.relu("b1.relu", net.conv("b1", mean, 3, 1))
    b2 = net.push(
        MaxPool2d(
            name="b2", x=stem, output="b2", kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)
        ),
        (4, 7, 6),
    )
    weight = net.parameter("b3.weight", net.rng.normal(size=(2, 4, 3, 3)) / 6)
    b3 = net.push(
        Conv2d(
            name="b3",
            x=stem,
            output="b3",
            weight=weight,
            bias=None,
            padding=(2, 2, 2, 2),
            dilation=(2, 2),
        ),
        (2, 7, 6),
    )
    both = net.concat("concat", b1, b2, b3)
    ceil = net.push(
        AvgPool2d(
            name="ceil",
            x=both,
            output="ceil",
            kernel=(2, 2),
            stride=(2, 2),
            padding=(1, 0, 1, 0),
            counted=(1, 0, 0, 0),
        ),
        (9, 4, 3),
    )
    x = net.conv("head", ceil, 4)
    return net.graph(net.linear("fc", net.flatten("flat", x), 3)), net.store


def late_clamps() -> tuple[Graph, TensorStore]:
    """Clamps behind a pool and behind a concat whose parts are read elsewhere too."""
    net = Net((3, 8, 8), 6)
    a = net.conv("a", "x", 4)
    pooled = net.relu("relu", net.max_pool("pool", a))
    b, c = net.conv("b", pooled, 3), net.conv("c", pooled, 2)
    both = net.relu("relu6", net.concat("concat", b, c), high=0.8)
    d = net.conv("d", both, 4)
    e = net.conv("e", b, 4)
    total = net.relu("relu7", net.add("add", net.relu("relu8", d), e), low=-0.5, high=0.9)
    return net.graph(net.flatten("flat", net.avg_pool("mean", total))), net.store


def dense() -> tuple[Graph, TensorStore]:
    """Concats of concats: every convolution reads all that came before."""
    net = Net((3, 6, 6), 8)
    x = net.relu("relu0", net.conv("c0", "x", 3))
    one = net.concat("cat1", x, net.conv("c1", x, 2))
    two = net.concat("cat2", one, net.conv("c2", net.relu("relu1", one), 2))
    x = net.relu("relu2", net.batch_norm("bn", two, [1, -1, 2, -2, 0.5, 1, 1]))
    return net.graph(net.linear("fc", net.flatten("flat", net.max_pool("pool", x, 3)), 4)), (
        net.store
    )


def signed_sums() -> tuple[Graph, TensorStore]:
    """Additions without clamps: signed operands with zero points, one computed after the layer it meets."""
    net = Net((3, 5, 5), 12)
    stem = net.conv("stem", "x", 4, bias=np.full(4, 0.8))
    early = net.conv("early", stem, 4)
    late = net.relu("inner", net.conv("late", stem, 4), low=-0.2)
    late = net.relu("outer", late, low=-5.0, high=0.6)
    one = net.add("add1", early, late)
    two = net.add("add2", one, net.conv("conv2", one, 4))
    three = net.add("add3", one, net.add("add4", two, two))
    x = net.relu("low", net.relu("high", three, low=None, high=1.1), low=-0.3)
    x = net.concat("concat", x, three)
    return net.graph(net.linear("fc", net.flatten("flat", net.avg_pool("pool", x)), 4)), net.store


def pooled_shortcut() -> tuple[Graph, TensorStore]:
    """Additions whose operands are the results of an average pool and of a batch norm that cannot fold."""
    net = Net((3, 6, 6), 5)
    stem = net.relu("stem.relu", net.conv("stem", "x", 4))
    scaled = net.batch_norm("bn", stem)
    one = net.relu("one", net.add("add1", net.conv("conv1", stem, 4), scaled))
    mean = net.avg_pool("mean", one)
    two = net.add("add2", net.avg_pool("mean2", scaled), mean)
    return net.graph(net.linear("fc", net.flatten("flat", two), 4)), net.store


def long_residual_path() -> tuple[Graph, TensorStore]:
    """Many small steps on one path, so that roundings of the path add up."""
    net = Net((3, 6, 6), 2)
    x = net.relu("stem.relu", net.conv("stem", "x", 8))
    for i in range(8):
        y = net.relu(f"relu{i}", net.conv(f"conv{i}", x, 8))
        weight = 0.02 * net.rng.normal(size=(8, 8, 1, 1))
        y = net.conv(f"out{i}", y, 8, 1, weight=weight, bias=np.zeros(8))
        x = net.relu(f"sum{i}", net.add(f"add{i}", y, x))
    return net.graph(net.linear("fc", net.flatten("flat", net.avg_pool("pool", x)), 5)), net.store


NETS = {
    "residual": residual_net,
    "fire": fire_net,
    "two convolutions meet": two_convolutions_meet,
    "preactivation": preactivation,
    "mobile": mobile,
    "inception": inception,
    "late clamps": late_clamps,
    "dense": dense,
    "signed sums": signed_sums,
}
PRECISIONS = {
    "w8a8": None,
    "w4a8": "all",
    "w4a4": "all",
    "mixed": "every other",
}


def mixed(net: Graph, kind: str) -> dict[str, Precision]:
    names = [node.name for node in net.nodes if node.op in ("conv2d", "linear")]
    match kind:
        case "w4a8":
            return dict.fromkeys(names, W4A8)
        case "w4a4":
            return dict.fromkeys(names, W4A4)
        case "mixed":
            return {
                name: Precision(wbits=2 + i % 7, abits=8 - i % 6) for i, name in enumerate(names)
            }
        case _:
            return {}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NETS)
def test_every_operator_means_its_node(name: str, precision: str) -> None:
    net = NETS[name]()
    found = lowered(net, precisions=mixed(net[0], precision))
    found.assert_every_operator_means_its_node()


@pytest.mark.parametrize("residual", [16, 32])
@pytest.mark.parametrize("name", [*NETS, "pooled shortcut"])
def test_wide_residual_operands_mean_what_they_say(name: str, residual: int) -> None:
    net = pooled_shortcut() if name == "pooled shortcut" else NETS[name]()
    found = lowered(net, precisions=mixed(net[0], "mixed"), residual=residual)
    found.assert_every_operator_means_its_node()


def test_a_wide_residual_path_loses_less_than_a_narrow_one() -> None:
    net = long_residual_path()
    errors = [lowered(net, residual=bits).relative_error() for bits in (8, 16, 32)]
    assert max(errors[1:]) < 0.9 * errors[0]


def test_operands_of_thirty_two_bits_are_never_clipped() -> None:
    """They need no calibrated range: their scale holds whatever the layers before can produce."""
    found = lowered(residual_net(), residual=32)
    assert not any(row.bits == 32 for row in found.draft.request.ranges.ranges)
    operands = [t for t in found.program.tensors if t.bits == 32 and t.name != found.program.output]
    assert {t.name for t in operands} >= {"stem.relu:i32", "b1.relu2:i32"}
    images = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (8, 8, 8, 3))
    arrays = interpret(found.program, found.store, images, keep="all")
    for tensor in operands:
        assert int(arrays[tensor.name].max()) < 2**31 - 1, tensor.name


@pytest.mark.parametrize("name", NETS)
def test_eight_bits_are_near_the_float_network(name: str) -> None:
    assert lowered(NETS[name](), exact_weights=False).relative_error() < 0.08


@pytest.mark.parametrize("name", ["residual", "mobile", "late clamps"])
def test_bgr_networks_read_rgb_pixels(name: str) -> None:
    net = NETS[name]()
    _, height, wide = net[0].input.shape
    found = lowered(net, image(height, wide, order="bgr"))
    found.assert_every_operator_means_its_node()
    assert found.relative_error() < 0.08
    assert not any(isinstance(op, Slice | Concat) and "x" in op.name for op in found.program.ops)


def test_permuted_channels_reach_through_depthwise_layers_and_pads() -> None:
    net = Net((3, 6, 6), 9)
    x = net.relu("relu", net.conv("dw", "x", 3, groups=3))
    x = net.widen("pad", net.max_pool("pool", x), 1, 2)
    x = net.linear("fc", net.flatten("flat", x), 4)
    found = lowered((net.graph(x), net.store), image(6, 6, order="bgr"))
    found.assert_every_operator_means_its_node()
    assert found.relative_error() < 0.08


@pytest.mark.parametrize("low", [Fraction(-3, 2), Fraction(0)])
def test_a_tensor_input_enters_as_codes(low: Fraction) -> None:
    net = Net((6,), 1)
    hidden = net.relu("relu", net.linear("fc1", "x", 7))
    more = net.add("add", net.linear("fc2", hidden, 7), hidden)
    graph = net.graph(net.linear("fc3", more, 3))
    found = lowered((graph, net.store), TensorInput(dims=(6,), low=low, high=Fraction(2)))
    found.assert_every_operator_means_its_node()
    assert found.relative_error() < 0.08
    assert [op.name for op in found.program.ops] == ["fc1", "fc2", "fc3"]


def test_a_tensor_input_may_be_read_at_fewer_bits() -> None:
    net = Net((2, 4, 5), 1)
    graph = net.graph(net.linear("fc", net.flatten("flat", net.conv("conv", "x", 2)), 3))
    source = TensorInput(dims=(2, 4, 5), low=Fraction(-1), high=Fraction(3))
    found = lowered((graph, net.store), source, {"conv": W4A4})
    found.assert_every_operator_means_its_node()


def test_pixels_that_are_the_activation_cost_no_operator() -> None:
    net = Net((3, 4, 4), 1)
    graph = net.graph(net.linear("fc", net.flatten("flat", net.conv("conv", "x", 2)), 3))
    plain = image(4, 4, mean=(Fraction(0),) * 3, std=(Fraction(1),) * 3)
    found = lowered((graph, net.store), plain)
    found.assert_every_operator_means_its_node()
    assert [op.name for op in found.program.ops] == ["conv", "flat", "fc"]


def test_an_addition_dissolves_into_the_convolution_before_it() -> None:
    program = lowered(residual_net()).program
    assert not any(isinstance(op, Add) for op in program.ops)
    conv = next(op for op in program.ops if op.name == "b1.conv2")
    assert isinstance(conv, IntegerConv)
    assert [s.addend.x for s in conv.stores if s.addend] == ["stem.relu:u8"]
    assert conv.stores[0].addend is not None
    assert conv.stores[0].addend.multiplier < 2**22


def test_the_other_convolution_of_a_sum_stores_int32_at_the_sums_scale() -> None:
    found = lowered(two_convolutions_meet(), precisions={"fc": W4A4})
    program = found.program
    main = next(op for op in program.ops if op.name == "main2")
    short = next(op for op in program.ops if op.name == "short")
    assert isinstance(main, IntegerConv)
    assert isinstance(short, IntegerConv)
    (partial,) = (store.output for store in main.stores)
    (addend,) = (store.addend for store in short.stores)
    assert addend is not None
    assert (addend.x, addend.multiplier, addend.shift) == (partial, 1, 0)
    assert program.tensor(partial).bits == 32
    assert found.scales.scale(partial) == found.scales.scale("add:s4")


def test_fusing_changes_no_bit() -> None:
    """A sum whose convolutions have other readers too stays an operator, and gives the same integers."""

    def net(*, shared: bool) -> tuple[Graph, TensorStore]:
        net = Net((3, 6, 6), 11)
        one, two = net.conv("one", "x", 4), net.conv("two", "x", 4)
        total = net.add("add", one, two)
        pooled = [net.avg_pool("pool", total)]
        if shared:
            pooled += [net.avg_pool("pool1", one), net.avg_pool("pool2", two)]
        joined = net.concat("concat", *pooled) if shared else pooled[0]
        return net.graph(net.flatten("flat", joined)), net.store

    fused, apart = lowered(net(shared=False)), lowered(net(shared=True))
    assert not any(isinstance(op, Add) for op in fused.program.ops)
    assert any(isinstance(op, Add) for op in apart.program.ops)
    apart.assert_every_operator_means_its_node()
    np.testing.assert_array_equal(fused.integers()["add:s8"], apart.integers()["add:s8"])


def test_each_width_is_rounded_straight_from_the_accumulator() -> None:
    found = lowered(residual_net(), precisions={"b1.conv1": W4A4})
    arrays = found.integers()
    assert {"stem.relu:u4", "stem.relu:u8"} <= arrays.keys()
    wide = arrays["stem.relu:u8"] * found.scales.scale("stem.relu:u8")
    narrow = arrays["stem.relu:u4"] * found.scales.scale("stem.relu:u4")
    step = found.scales.scale("stem.relu:u4") + found.scales.scale("stem.relu:u8")
    assert np.abs(wide - narrow).max() <= 0.51 * step


def test_the_same_request_gives_the_same_program() -> None:
    assert lowered(fire_net()).program == lowered(fire_net()).program


def test_a_layer_that_nothing_reads_is_left_out() -> None:
    net = Net((3, 4, 4), 1)
    x = net.conv("used", "x", 2)
    net.conv("unused", "x", 2)
    graph = net.graph(net.linear("fc", net.flatten("flat", x), 3))
    assert "unused" not in {op.name for op in lowered((graph, net.store)).program.ops}


@pytest.mark.parametrize("tail", ["max_pool", "concat", "add", "batch_norm", "clamp"])
def test_logits_may_come_from_any_operator(tail: str) -> None:
    net = Net((3, 4, 4), 2)
    a = net.conv("a", "x", 3)
    b = net.relu("relu", net.conv("b", a, 3))
    match tail:
        case "max_pool":
            x = net.max_pool("pool", a, 4)
        case "concat":
            x = net.avg_pool("pool", net.concat("concat", a, b))
            x = net.concat("concat2", x, net.max_pool("pool2", b, 4))
        case "add":
            x = net.max_pool("pool", net.add("add", a, b), 4)
        case "batch_norm":
            x = net.batch_norm("bn", net.avg_pool("pool", b), [1.0, -3.0, 0.5])
        case _:
            x = net.relu("top", net.max_pool("pool", a, 4), high=0.7)
    found = lowered((net.graph(net.flatten("flat", x)), net.store))
    found.assert_every_operator_means_its_node()
    assert found.relative_error() < 0.1
