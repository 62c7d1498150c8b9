"""What training will make legal is a candidate already."""

from __future__ import annotations

from hawqlang.base import Precision
from hawqlang.ir.candidates import LayerSettings
from hawqlang.stages.finetune import Pupil
from hawqlang.stages.legality import legality
from tests.unit.stages.finetune.lesson_nets import W8A8, drawn, method, network, pupil

W1A8 = Precision(wbits=1, abits=8)


def reason(who: Pupil, precision: Precision, **settings: object) -> str | None:
    own = LayerSettings.model_validate({"layer": "c2", "precision": (precision,), **settings})
    return legality(who.model, who.table, {"c2": own})("c2", precision)


def test_one_bit_weights_need_mean_field() -> None:
    model, _ = network()
    who = pupil(model, drawn(model, 8), method(), W8A8)
    assert reason(who, W1A8, finetune=method("mean_field", levels=(-1, 1))) is None
    assert "mean_field" in (reason(who, W1A8, finetune=method("qat")) or "")


def test_sums_that_are_too_large_are_kept_for_overflow_aware_training() -> None:
    model, _ = network()
    who = pupil(model, drawn(model, 8), method(), W8A8)
    narrow = {"accumulator": "int16"}
    assert "int16 ends at 32767" in (reason(who, W8A8, **narrow) or "")
    assert "int16 ends at 32767" in (reason(who, W8A8, finetune=method("qat"), **narrow) or "")
    assert reason(who, W8A8, finetune=method("overflow_aware"), **narrow) is None
