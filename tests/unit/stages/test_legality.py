"""Candidates that cannot be certified are refused with their bound, and what lowering would refuse is among them."""

from __future__ import annotations

import re
from functools import cache

import pytest

from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import GroupSize, WeightSettings
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.legality import legality
from tests.unit.stages.lower.harness import W8A8, lowered
from tests.unit.stages.nets import residual_net

EVERY = [
    Precision(wbits=w, abits=a)
    for w, a in ((2, 1), (2, 16), (4, 4), (4, 8), (8, 8), (8, 16), (12, 4), (16, 16))
]


@cache
def ranges(name: str, abits: int) -> RangeTable:
    """What was calibrated where one layer of the residual network reads ``abits`` bits."""
    return lowered(
        residual_net(), precisions={name: Precision(wbits=2, abits=abits)}
    ).draft.request.ranges


def reasons(own: LayerSettings) -> dict[Precision, str | None]:
    """What is said of one layer of the residual network at every width."""
    model = FloatModel(*residual_net())
    return {
        p: legality(model, ranges(own.layer, p.abits), {own.layer: own})(own.layer, p)
        for p in EVERY
    }


@pytest.mark.parametrize("kind", ["int16", "int24", "int32"])
@pytest.mark.parametrize(
    "weights",
    [
        WeightSettings(),
        WeightSettings(scheme="affine"),
        WeightSettings(granularity=GroupSize(size=3)),
        WeightSettings(scheme="affine", granularity=GroupSize(size=2)),
    ],
    ids=["symmetric", "affine", "groups", "affine groups"],
)
def test_what_is_legal_lowers_and_what_is_not_is_refused_there_too(
    kind: str, weights: WeightSettings
) -> None:
    name = "b2.conv2"
    own = LayerSettings(layer=name, precision=(), weights=weights, accumulator=kind)  # pyright: ignore[reportArgumentType]
    for precision, reason in reasons(own).items():

        def act(precision: Precision = precision) -> None:
            lowered(
                residual_net(),
                precisions={name: precision},
                layers={name: own},
                exact_weights=False,
            )

        if reason is None:
            act()
        elif "zero points" not in reason:
            with pytest.raises(HawqError) as caught:
                act()
            assert [d.code for d in caught.value.diagnostics] == ["HQ601"], precision


def test_the_reason_names_the_bound_and_the_accumulator() -> None:
    found = reasons(LayerSettings(layer="b1.conv2", precision=(), accumulator="int16"))
    assert found[Precision(wbits=4, abits=4)] is None
    reason = found[W8A8]
    assert reason is not None
    match = re.fullmatch(r"its sums reach (\d+), int16 ends at 32767", reason)
    assert match is not None
    assert int(match[1]) > 32767


def test_sixteen_by_sixteen_bits_leave_int32() -> None:
    found = reasons(LayerSettings(layer="b1.conv2", precision=()))
    reason = found[Precision(wbits=16, abits=16)]
    assert reason is not None
    assert "int32 ends at 2147483647" in reason
    assert found[Precision(wbits=8, abits=16)] is None


def test_affine_integers_beyond_sixteen_bits_are_refused() -> None:
    own = LayerSettings(layer="b1.conv2", precision=(), weights=WeightSettings(scheme="affine"))
    graph, store = residual_net()
    model = FloatModel(graph, store)
    model.parameters["b1.conv2.weight"].abs_()
    reason = legality(model, ranges("b1.conv2", 1), {"b1.conv2": own})(
        "b1.conv2", Precision(wbits=16, abits=1)
    )
    assert reason == "its weights reach 65535 with their zero points, kernels hold 32767"


def test_one_bit_weights_point_to_training() -> None:
    own = LayerSettings(layer="b1.conv2", precision=())
    graph, store = residual_net()
    found = legality(FloatModel(graph, store), ranges("b1.conv2", 8), {"b1.conv2": own})
    reason = found("b1.conv2", Precision(wbits=1, abits=8))
    assert reason is not None
    assert "mean_field" in reason
