"""The proof of no overflow, from the program and its constants alone."""

from __future__ import annotations

import numpy as np
import pytest

from hawqlang.certificate import UnprovenError, certificate
from hawqlang.ops import Add, Affine
from tests.unit.stages.lower.harness import lowered
from tests.unit.stages.lower.test_networks import signed_sums
from tests.unit.stages.nets import Net, residual_net


def test_it_agrees_with_what_lowering_recorded() -> None:
    found = lowered(signed_sums())
    assert certificate(found.program, found.store) == found.program.bounds
    named = {bound.op for bound in found.program.bounds}
    assert {"x", "stem", "add3", "pool", "fc"} <= named


def test_a_clamp_away_from_zero_lifts_what_an_addition_can_reach() -> None:
    net = Net((3, 4, 4), 0)
    weight, bias = np.zeros((2, 3, 1, 1)), np.zeros(2)
    one = net.conv("conv1", "x", 2, 1, weight=weight, bias=bias)
    two = net.conv("conv2", "x", 2, 1, weight=weight, bias=bias)
    a = net.relu("a", one, low=1.0, high=2.0)
    b = net.relu("b", two, low=1.0, high=2.0)
    total = net.add("add", a, b)
    graph = net.graph(net.linear("fc", net.flatten("flat", total), 2))
    found = lowered((graph, net.store))
    op = next(op for op in found.program.ops if isinstance(op, Add))
    bound = next(bound for bound in found.program.bounds if bound.op == "add")
    assert int(found.integers()[op.stores[0].output].max()) == 255
    assert bound.largest >= 255


@pytest.mark.parametrize(("add", "what"), [(2**62, "x:s8"), (2**63 - 1, "64-bit sum")])
def test_an_affine_map_that_overflows_is_unproven(add: int, what: str) -> None:
    found = lowered(residual_net())
    affine = found.program.ops[0]
    assert isinstance(affine, Affine)
    adds = found.store.put(np.array([0, add, 0], np.int64))
    broken = found.program.replace(ops=(affine.replace(add=adds), *found.program.ops[1:]))
    with pytest.raises(UnprovenError) as caught:
        certificate(broken, found.store)
    assert (caught.value.op, caught.value.what) == ("x", what)


def test_an_accumulator_that_overflows_is_unproven() -> None:
    found = lowered(residual_net())
    bias = found.store.put(np.full(4, 2**31 - 1, np.int32))
    ops = tuple(op.replace(bias=bias) if op.name == "stem" else op for op in found.program.ops)
    with pytest.raises(UnprovenError, match="accumulator of 'stem' can reach"):
        certificate(found.program.replace(ops=ops), found.store)
