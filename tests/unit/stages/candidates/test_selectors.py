"""What each selector of the language means."""

from __future__ import annotations

import pytest

from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Channels, Difference, Intersection, KernelSize, Selector, Union
from hawqlang.stages.candidates import groups, select
from tests.support.allocation import SPAN, glob, layer, word

TABLE = LayerTable(
    layers=(
        layer("conv1", kernel=(7, 7), channels=64),
        layer("layer1.0.conv1", kernel=(3, 3), channels=64),
        layer("layer1.0.conv2", kernel=(3, 3), channels=256),
        layer("layer1.0.down", kernel=(1, 1), channels=256),
        layer("layer1.1.conv1", kernel=(3, 3), channels=64, kind="depthwise"),
        layer("fc", kind="linear", channels=1000),
    ),
    residual=(("layer1.0.down", "layer1.0.conv2"),),
    shared_input=(("layer1.0.conv1", "layer1.0.down"),),
    downsample=("layer1.0.down",),
)


def union(*items: Selector) -> Union:
    return Union(items=items, span=SPAN)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (word("first"), ["conv1"]),
        (word("last"), ["fc"]),
        (word("linear"), ["fc"]),
        (word("depthwise"), ["layer1.1.conv1"]),
        (word("pointwise"), ["layer1.0.down"]),
        (word("downsample"), ["layer1.0.down"]),
        (word("residual"), ["layer1.0.conv2", "layer1.0.down"]),
        (word("shared_input"), ["layer1.0.conv1", "layer1.0.down"]),
        (glob("layer1.*"), [f"layer1.{n}" for n in ("0.conv1", "0.conv2", "0.down", "1.conv1")]),
        (glob("*conv?"), ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1"]),
        (glob("layer1.{i}.conv1"), ["layer1.0.conv1", "layer1.1.conv1"]),
        (KernelSize(height=1, width=1, span=SPAN), ["layer1.0.down"]),
        (Channels(op=">", value=256, span=SPAN), ["fc"]),
        (union(word("last"), word("first")), ["conv1", "fc"]),
        (
            Intersection(items=(word("conv"), Channels(op=">=", value=256, span=SPAN)), span=SPAN),
            ["layer1.0.conv2", "layer1.0.down"],
        ),
        (
            Difference(base=word("all"), minus=union(glob("layer1.*"), word("last")), span=SPAN),
            ["conv1"],
        ),
    ],
)
def test_a_selector_means_these_layers_in_execution_order(
    selector: Selector, expected: list[str]
) -> None:
    assert list(select(selector, TABLE)) == expected


def test_conv_includes_depthwise_and_all_is_every_layer() -> None:
    assert select(word("conv"), TABLE) == tuple(one.name for one in TABLE.layers[:5])
    assert len(select(word("all"), TABLE)) == 6


def test_a_name_in_braces_is_one_path_segment() -> None:
    table = LayerTable(layers=(layer("a.b.c"), layer("a.c")))

    assert select(glob("a.{x}.c"), table) == ("a.b.c",)
    with pytest.raises(HawqError):
        select(glob("{x}"), table)


def test_the_same_name_in_braces_twice_means_the_same_segment() -> None:
    table = LayerTable(layers=(layer("a.a"), layer("a.b")))

    assert select(glob("{x}.{x}"), table) == ("a.a",)


def test_groups_of_a_glob_follow_the_value_of_its_name() -> None:
    table = LayerTable(layers=tuple(layer(f"{b}.{n}") for b in (0, 1) for n in ("q", "k")))

    assert groups(glob("{i}.*"), table) == (("0.q", "0.k"), ("1.q", "1.k"))


def test_residual_and_shared_input_form_their_own_groups_and_others_form_one() -> None:
    assert groups(word("residual"), TABLE) == (("layer1.0.conv2", "layer1.0.down"),)
    assert groups(word("shared_input"), TABLE) == (("layer1.0.conv1", "layer1.0.down"),)
    both = union(word("residual"), word("shared_input"))
    assert groups(both, TABLE) == (("layer1.0.conv1", "layer1.0.conv2", "layer1.0.down"),)


def test_a_glob_that_matches_nothing_names_the_nearest_layers() -> None:
    with pytest.raises(HawqError) as caught:
        select(glob("layer1.0.conv3"), TABLE)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "HQ502"
    assert "'layer1.0.conv1'" in (diagnostic.help or "")


def test_every_part_that_matches_nothing_is_reported_and_the_whole_is_not() -> None:
    with pytest.raises(HawqError) as caught:
        select(union(glob("nothing"), glob("nowhere"), word("first")), TABLE)

    messages = [one.message for one in caught.value.diagnostics]
    assert messages == ['"nothing" matches no layer', '"nowhere" matches no layer']


def test_an_intersection_without_a_common_layer_matches_nothing() -> None:
    empty = Intersection(items=(word("linear"), word("conv")), span=SPAN)
    with pytest.raises(HawqError, match="linear and conv matches no layer"):
        select(empty, TABLE)
