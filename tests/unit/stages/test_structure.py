"""Roots, signs and forms of tensors."""

from __future__ import annotations

import pytest

from hawqlang.stages.structure import (
    Demand,
    Form,
    Reader,
    demands,
    enters_unrounded,
    forms,
    nonnegative,
    range_root,
    readers,
    root_readers,
)
from tests.unit.stages.nets import Net, fire_net, residual_net


def test_moves_share_the_range_of_what_is_before_them_after_its_clamp() -> None:
    graph, _ = residual_net()
    root = range_root(graph)
    assert root["b2.pad"] == root["b2.slice"] == root["b1.relu2"] == "b1.relu2"
    assert root["flat"] == root["pool"] == "pool"
    assert root["b1.add"] == "b1.add"
    assert root["x"] == "x"


def test_a_convolution_that_an_addition_reads_directly_is_never_stored() -> None:
    graph, _ = residual_net()
    assert enters_unrounded(graph) == {("b1.add", "b1.conv2"), ("b2.add", "b2.conv2")}
    stored = forms(graph, dict.fromkeys(["stem", "b1.conv1", "b1.conv2"], 8) | LAYERS, 8)
    assert stored["b1.conv2"] == ()


LAYERS = {"b2.conv1": 4, "b2.conv2": 4, "fc": 8}


def test_a_tensor_is_stored_once_for_each_width_that_its_readers_want() -> None:
    graph, _ = residual_net()
    stored = forms(graph, {"stem": 8, "b1.conv1": 4, "b1.conv2": 4} | LAYERS, 8)
    assert stored["stem.relu"] == (Form("stem.relu", 4), Form("stem.relu", 8))
    assert stored["stem"] == stored["stem.relu"]
    assert stored["b1.relu2"] == (Form("b1.relu2", 4), Form("b1.relu2", 8))
    assert stored["b2.slice"] == (Form("b1.relu2", 8),)


def test_a_pool_hands_the_width_of_its_reader_to_what_it_reads() -> None:
    graph, _ = residual_net()
    stored = forms(graph, {"stem": 8, "b1.conv1": 4, "b1.conv2": 4} | LAYERS, 8)
    assert stored["pool"] == (Form("pool", 8),)
    assert stored["b2.relu2"] == (Form("b2.relu2", 8),)


def test_logits_are_int32_through_a_flatten_and_their_pool_reads_eight_bits() -> None:
    graph, _ = fire_net()
    stored = forms(graph, dict.fromkeys(["stem", "squeeze", "left", "right", "head"], 4), 8)
    assert stored["flat"] == stored["pool"] == (Form("flat", 32),)
    assert stored["head.relu"] == (Form("head.relu", 8),)


def test_parts_of_a_concat_are_stored_in_the_range_of_the_concat() -> None:
    graph, _ = fire_net()
    wanted = demands(graph)
    head = (Demand("concat", Reader("layer", "head")),)
    assert wanted["left"] == wanted["right.relu"] == wanted["concat"] == wanted["pool2"] == head


def test_a_part_of_a_concat_that_a_layer_reads_too_has_both_forms() -> None:
    net = Net((3, 4, 4))
    a = net.relu("a.relu", net.conv("a", "x", 4))
    b = net.relu("b.relu", net.conv("b", a, 4))
    graph = net.graph(net.conv("c", net.concat("cat", a, b), 2))
    stored = forms(graph, {"a": 8, "b": 8, "c": 8}, 8)
    assert stored["a.relu"] == (Form("a.relu", 8), Form("cat", 8))
    assert stored["b.relu"] == (Form("cat", 8),)


def test_a_clamp_behind_a_pool_roots_the_range_of_what_is_stored_before_the_pool() -> None:
    net = Net((3, 4, 4))
    late = net.relu("late", net.max_pool("pool", net.conv("a", "x", 4)))
    graph = net.graph(net.conv("b", late, 2))
    assert range_root(graph)["pool"] == "a"
    assert forms(graph, {"a": 8, "b": 6}, 8)["a"] == (Form("late", 6),)


def test_signs_follow_clamps_moves_concats_pools_and_sums() -> None:
    graph, _ = residual_net()
    assert {"stem.relu", "b2.pad", "pool", "flat", "b1.relu2"} <= nonnegative(graph)
    assert not {"x", "stem", "b1.add", "fc"} & nonnegative(graph)
    fire, _ = fire_net()
    assert {"concat", "pool2", "flat"} <= nonnegative(fire)


def test_a_concat_or_sum_with_one_signed_part_is_signed() -> None:
    net = Net((4, 4, 4))
    a, b = net.conv("a", "x", 4), net.relu("b.relu", net.conv("b", "x", 4))
    net.concat("cat", a, b)
    net.add("sum", a, b)
    net.add("positive", b, b)
    graph = net.graph(net.relu("capped", net.relu("below", b, high=-1.0, low=None), 6.0, None))
    found = nonnegative(graph)
    assert "positive" in found
    assert not {"cat", "sum", "below", "capped"} & found
    assert "x" in nonnegative(graph, input_nonnegative=True)


def test_readers_of_a_root_are_listed_in_execution_order() -> None:
    graph, _ = residual_net()
    who = root_readers(graph)
    assert who["b1.relu2"] == (Reader("layer", "b2.conv1"), Reader("add", "b2.add"))
    assert "fc" not in who
    assert [node.name for node in readers(graph)["b1.relu2"]] == ["b2.conv1", "b2.slice"]


@pytest.mark.parametrize(("residual", "inner"), [(8, 8), (16, 16), (32, 16)])
def test_a_pool_before_an_addition_reads_at_most_sixteen_bits(residual: int, inner: int) -> None:
    net = Net((3, 4, 4))
    one = net.relu("one", net.conv("a", "x", 4))
    mean = net.avg_pool("mean", one)
    short = net.avg_pool("short", net.relu("two", net.conv("b", one, 4)))
    graph = net.graph(net.linear("fc", net.flatten("flat", net.add("add", mean, short)), 2))
    found = forms(graph, {"a": 8, "b": 4, "fc": 8}, residual)
    assert {form.bits for name in ("mean", "short") for form in found[name]} == {residual}
    assert Form("one", inner) in found["one"]
    assert Form("one", 4) in found["one"]
