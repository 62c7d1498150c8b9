"""``layer`` blocks: the last that sets a key wins, key by key."""

from __future__ import annotations

import pytest

from hawqlang.cache import digest
from hawqlang.diagnostics import HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Finetune, LayerRule, Mse
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
