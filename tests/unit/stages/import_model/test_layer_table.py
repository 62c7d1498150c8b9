from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.ir.graph import Graph
from hawqlang.ir.layers import LayerTable, LiveTensor
from hawqlang.stages.import_model import import_structure
from hawqlang.stages.import_model.builder import Builder
from hawqlang.stages.import_model.draft import INPUT
from hawqlang.stages.import_model.layer_table import layer_table
from hawqlang.stages.import_model.normalise import normalise
from tests.support.imports import Arguments, image, zoo_model


def table_of(name: str, size: int, arguments: Arguments | None = None) -> LayerTable:
    return layer_table(import_structure(zoo_model(name, image(size, size), arguments)))


def graph_of(net: Builder, output: str) -> Graph:
    return normalise(net.finish(output)).graph()


def stored_bytes(step: tuple[LiveTensor, ...], abits: int) -> int:
    """Bytes alive at one step when every layer reads ``abits``; equal copies of a tensor count once."""
    copies = {
        (t.tensor, t.bits or abits): t.elements * (t.stored_bits or t.bits or abits) for t in step
    }
    return sum(copies.values()) // 8


@pytest.mark.parametrize(
    ("name", "size", "layers", "params", "mmacs"),
    [
        # parameters and multiply-accumulates as published for these networks
        ("resnet18", 224, 21, 11_678_912, 1814),
        ("resnet34", 224, 37, 21_779_648, 3664),
        ("resnet50", 224, 54, 25_502_912, 4089),
        ("mobilenet_v1", 224, 28, 4_209_088, 569),
        ("mobilenet_v2", 224, 53, 3_469_760, 301),
        ("squeezenet1_1", 224, 26, 1_231_552, 349),
        ("cifar_resnet20", 32, 20, 268_336, 41),
    ],
)
def test_sizes_of_public_networks(
    name: str, size: int, layers: int, params: int, mmacs: int
) -> None:
    table = table_of(name, size)
    assert len(table.layers) == layers
    assert sum(layer.params for layer in table.layers) == params
    assert round(sum(layer.macs for layer in table.layers) / 1e6) == mmacs


def test_facts_of_single_layers() -> None:
    table = table_of("mobilenet_v1", 224, {"width": Fraction(1, 4)})
    first = table.layer("conv1")
    assert (first.kind, first.kernel, first.channels) == ("conv", (3, 3), 8)
    assert (first.params, first.macs) == (216, 216 * 112 * 112)
    assert (first.input_elements, first.output_elements) == (3 * 224 * 224, 8 * 112 * 112)
    depthwise = table.layer("conv_dw_2")
    assert (depthwise.kind, depthwise.params, depthwise.macs) == ("depthwise", 144, 144 * 56 * 56)
    assert table.layer("conv_preds").kernel == (1, 1)
    linear = table_of("cifar_resnet20", 32).layer("linear")
    assert (linear.kind, linear.kernel, linear.channels, linear.macs) == ("linear", None, 10, 640)


def test_a_convolution_over_one_channel_is_not_depthwise() -> None:
    graph = import_structure(zoo_model("cifar_resnet20", image(28, 28, 1)))
    assert layer_table(graph).layer("conv1").kind == "conv"


def test_groups_of_resnet18_are_the_ties_of_hawq_v3() -> None:
    table = table_of("resnet18", 224)
    assert table.shared_input == tuple(
        (f"layer{i}.0.conv1", f"layer{i}.0.downsample.0") for i in (2, 3, 4)
    )
    assert table.downsample == tuple(f"layer{i}.0.downsample.0" for i in (2, 3, 4))
    assert table.residual == (
        ("conv1", "layer1.0.conv2"),
        ("layer1.1.conv2",),
        ("layer2.0.conv2", "layer2.0.downsample.0"),
        ("layer2.1.conv2",),
        ("layer3.0.conv2", "layer3.0.downsample.0"),
        ("layer3.1.conv2",),
        ("layer4.0.conv2", "layer4.0.downsample.0"),
        ("layer4.1.conv2",),
    )


def test_shortcuts_without_weights_form_no_downsample() -> None:
    table = table_of("cifar_resnet20", 32)
    assert table.downsample == ()
    assert table.shared_input == ()
    assert table.residual[3] == ("layer2.0.conv2",)


def test_inverted_residuals_have_no_downsample_though_one_layer_precedes_the_addition() -> None:
    table = table_of("mobilenet_v2", 224)
    assert table.downsample == ()
    assert table.residual[0] == ("features.2.conv.2", "features.3.conv.2")
    assert ("features.5.conv.2", "features.6.conv.2") not in table.residual


def test_fire_modules_share_their_inputs() -> None:
    table = table_of("squeezenet1_1", 224)
    assert table.shared_input == tuple(
        (f"fire{n}.expand1x1", f"fire{n}.expand3x3") for n in range(2, 10)
    )
    assert table.residual == ()


def test_a_shortcut_behind_a_pool_is_a_downsample() -> None:
    net = Builder("n", (4, 8, 8))
    x = net.relu("r", net.conv("stem", INPUT, 4, 3, padding=1))
    main = net.relu("m", net.conv("a", x, 8, 3, stride=2, padding=1))
    main = net.conv("b", main, 8, 3, padding=1)
    short = net.conv("short", net.avg_pool("p", x, 2, 2), 8, 1)
    total = net.add("s", short, main)
    table = layer_table(graph_of(net, net.flatten("f", net.relu("t", total))))
    assert table.downsample == ("short",)
    assert table.residual == (("b", "short"),)
    assert table.shared_input == ()


def test_two_branches_of_one_layer_each_have_no_downsample() -> None:
    net = Builder("n", (4, 8, 8))
    x = net.relu("r", net.conv("stem", INPUT, 4, 3, padding=1))
    total = net.add("s", net.conv("a", x, 4, 1), net.conv("b", x, 4, 3, padding=1))
    table = layer_table(graph_of(net, net.flatten("f", total)))
    assert table.downsample == ()
    assert table.residual == (("a", "b"),)


def test_concatenated_layers_meet_in_the_addition_behind_them() -> None:
    net = Builder("n", (4, 8, 8))
    both = net.concat("cat", (net.conv("a", INPUT, 2, 1), net.conv("b", INPUT, 2, 1)))
    total = net.add("s", net.conv("c", INPUT, 4, 1), both)
    table = layer_table(graph_of(net, net.flatten("f", total)))
    assert table.residual == (("a", "b", "c"),)
    assert table.shared_input == (("a", "b", "c"),)


# ---- live tensors --------------------------------------------------------------------------------------------------


def test_live_tensors_of_a_chain() -> None:
    net = Builder("n", (3, 8, 8))
    x = net.relu("r1", net.conv("c1", INPUT, 4, 3, padding=1))
    x = net.max_pool("p", x, 2, 2)
    x = net.relu("r2", net.conv("c2", x, 6, 3, padding=1))
    x = net.flatten("f", net.global_mean("g", x))
    live = layer_table(graph_of(net, net.linear("fc", x, 10))).live
    named = [[(t.tensor, t.elements, t.reader or t.bits) for t in step] for step in live]
    assert named == [
        [("pixels", 192, 8), ("input", 192, "c1")],
        [("input", 192, "c1"), ("r1", 256, "c2")],
        [("r1", 256, "c2"), ("p", 64, "c2")],
        [("p", 64, "c2"), ("r2", 96, "fc")],
        [("r2", 96, "fc"), ("g", 6, "fc")],
        [("g", 6, "fc"), ("f", 6, "fc")],
        [("f", 6, "fc"), ("fc", 10, 32)],
    ]


def test_a_tensor_with_readers_of_different_widths_is_alive_once_per_width() -> None:
    net = Builder("n", (3, 8, 8))
    x = net.relu("r", net.conv("stem", INPUT, 4, 3, padding=1))
    y = net.conv("a", x, 4, 3, padding=1)
    live = layer_table(
        graph_of(net, net.flatten("f", net.relu("t", net.add("s", y, x)))), residual=16
    ).live
    by_name = [{(t.tensor, t.reader, t.bits) for t in step} for step in live]
    assert by_name[1] == {("input", "stem", None), ("r", "a", None), ("r", None, 16)}
    # the addition dissolves into the convolution: its own result is never stored, the sum is logits here
    assert by_name[2] == {("r", "a", None), ("r", None, 16), ("t", None, 32)}


def test_a_second_convolution_of_an_addition_waits_as_int32() -> None:
    table = table_of("resnet18", 224)
    waiting = [t for step in table.live for t in step if t.stored_bits == 32]
    assert {t.tensor for t in waiting} == {
        f"layer{i}.0.conv2 for layer{i}.0.relu" for i in (2, 3, 4)
    }
    assert {t.elements for t in waiting} == {128 * 28 * 28, 256 * 14 * 14, 512 * 7 * 7}
    # one for each width at which the sum is stored: for the next convolution and for the next addition
    assert {(t.reader, t.bits) for t in waiting if t.tensor.startswith("layer2")} == {
        ("layer2.1.conv1", None),
        (None, 8),
    }


def test_parts_of_a_concat_are_stored_in_its_range() -> None:
    table = table_of("squeezenet1_1", 224)
    names = {t.tensor for step in table.live for t in step}
    assert "fire2.relu_expand1x1 for fire2.concat" in names
    assert "fire2.concat" in names


def test_peak_counts_a_tensor_once_per_width() -> None:
    table = table_of("cifar_resnet20", 32)
    peaks = [max(stored_bytes(step, abits) for step in table.live) for abits in (2, 4, 8)]
    size = 16 * 32 * 32
    # a block's input for its addition, what its second convolution reads, and its result for both readers
    assert peaks[2] == size + size + size
    assert peaks[1] == size + size // 2 + (size // 2 + size)
    assert peaks[0] == size + size // 4 + (size // 4 + size)


def test_peak_of_a_chain_is_proportional_to_the_width() -> None:
    table = table_of("squeezenet1_1", 224)
    peaks = [max(stored_bytes(step, abits) for step in table.live) for abits in (4, 8)]
    assert peaks[1] == 2 * peaks[0]


def test_every_step_has_the_input_of_its_layer_alive() -> None:
    for name, size in (("resnet18", 64), ("mobilenet_v2", 64), ("squeezenet1_1", 64)):
        graph = import_structure(zoo_model(name, image(size, size)))
        readers = {t.reader for step in layer_table(graph).live for t in step}
        assert readers >= {layer.name for layer in layer_table(graph).layers}
