"""``layer`` blocks: the last that sets a key wins, key by key."""

from __future__ import annotations

import pytest

from hawqlang.base import Precision
from hawqlang.cache import digest
from hawqlang.diagnostics import HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Finetune, GroupSize, LayerRule, Mse, WeightSettings
from hawqlang.stages.candidates import settings
from tests.support.allocation import W4, W8, W48, build, glob, layer, span, word

TABLE = LayerTable(layers=(layer("a"), layer("b"), layer("c")))


def test_the_last_rule_wins_key_by_key_and_is_named() -> None:
    spec = build(
        layer_rules=(
            LayerRule(selector=word("all"), precision=(W8,), accumulator="int16", span=span(20)),
            LayerRule(selector=glob("b"), precision=(W4, W48), span=span(30)),
            LayerRule(selector=glob("b"), weight_range=Mse(), span=span(40)),
        )
    )

    a, b, _ = settings(spec, TABLE)

    assert a.precision == (W8,)
    assert b.precision == (W4, W48)
    assert b.accumulator == "int16"
    assert b.weights.range == Mse()
    assert b.weights.rounding == spec.weights.rounding
    assert [(key, where.line) for key, where in b.rules] == [
        ("precision", 30),
        ("weight_range", 40),
        ("accumulator", 20),
    ]
    assert b.rule("finetune") is None


def test_a_rule_can_switch_fine_tuning_and_bias_correction_off() -> None:
    spec = build(
        finetune=Finetune(method="qat", epochs=1),
        layer_rules=(
            LayerRule(selector=glob("a"), finetune="none", bias_correction=False, span=span(9)),
        ),
    )

    a, b, _ = settings(spec, TABLE)

    assert a.finetune is None
    assert not a.bias_correction
    assert b.finetune == spec.finetune
    assert b.bias_correction


def test_repeated_precisions_count_once() -> None:
    assert settings(build(precision=(W4, W8, W4)), TABLE)[0].precision == (W4, W8)


def test_a_layer_that_no_precision_reaches_is_an_error() -> None:
    rules = (LayerRule(selector=glob("a"), precision=(W8,), span=span(9)),)
    with pytest.raises(HawqError) as caught:
        settings(build(precision=(), layer_rules=rules), TABLE)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "HQ503"
    assert "'b', 'c'" in diagnostic.message


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (WeightSettings(scheme="affine"), "no zero points"),
        (WeightSettings(granularity=GroupSize(size=8)), "no groups"),
    ],
)
def test_levels_take_neither_zero_points_nor_groups(weights: WeightSettings, said: str) -> None:
    levels = Finetune(method="mean_field", epochs=1, levels=(-1, 0, 1))
    w2, at = Precision(wbits=2, abits=8), span(9)
    plain = LayerRule(selector=glob("a"), precision=(w2,), weight_scheme="symmetric", span=at)
    asked = build(precision=(W4, W8), weights=weights, finetune=levels)
    assert settings(asked, TABLE)[0].finetune == levels  # on uniform grids it is fine
    rules = (plain.replace(granularity="per_channel"),)
    assert settings(asked.replace(layer_rules=rules), TABLE)[0].precision == (w2,)
    with pytest.raises(HawqError) as caught:
        settings(asked.replace(precision=(w2, W8)), TABLE)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "HQ454"
    assert "'a' and 2 more" in diagnostic.message
    assert said in diagnostic.message


def test_every_rule_that_selects_nothing_is_reported() -> None:
    rules = tuple(LayerRule(selector=glob(n), span=span(9)) for n in ("x", "y", "a"))
    with pytest.raises(HawqError) as caught:
        settings(build(layer_rules=rules), TABLE)

    assert [one.code for one in caught.value.diagnostics] == ["HQ502", "HQ502"]


def test_where_a_block_stands_is_in_no_digest() -> None:
    def at(line: int) -> tuple[LayerSettings, ...]:
        rules = (LayerRule(selector=glob("a"), precision=(W8,), span=span(line)),)
        return settings(build(layer_rules=rules), TABLE)

    here, moved = at(9), at(12)
    assert here != moved
    assert digest(here) == digest(moved)
    assert digest(*here) == digest(*moved)
