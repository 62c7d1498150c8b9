"""An allocation that was chosen elsewhere: taken as it is, refused, or found to be the optimum."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Build
from hawqlang.stages.allocate.given import given
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates import candidates
from tests.support.allocation import (
    W4,
    W8,
    W48,
    build,
    compare,
    layer,
    metric_form,
    named,
    with_sensitivity,
)

TABLE = LayerTable(
    layers=tuple(
        with_sensitivity(layer(name), {W4: worst, W8: 0.0})
        for name, worst in (("a", 3.0), ("b", 1.0))
    )
)
SPEC = build([named("fits", compare(metric_form("size"), "<=", 1500))])


def take(wanted: Mapping[str, Precision], spec: Build = SPEC, **more: object) -> BitPlan:
    return given(spec, TABLE, candidates(spec, TABLE, None), wanted, **more)  # pyright: ignore[reportArgumentType]


def test_the_optimum_given_is_the_optimum_proven() -> None:
    best = allocate(SPEC, TABLE, candidates(SPEC, TABLE, None))
    assert take({"a": W8, "b": W4}) == best
    assert best.status == "optimal"


def test_another_allocation_is_taken_with_its_distance_from_the_optimum() -> None:
    found = take({"b": W8, "a": W4})
    assert found.allocation() == {"a": W4, "b": W8}
    assert found.status == "feasible"
    assert found.gap == pytest.approx(2 / 3)
    assert dict(found.objective) == {"perturbation": 3.0}
    assert "given, not chosen" in found.notes[-1]


def test_what_was_refused_before_does_not_count_as_the_optimum() -> None:
    """The second best is best once the best has been tried; below it are all that are left but this one."""
    found = take({"b": W8, "a": W4}, exclude=[{"a": W8, "b": W4}])
    assert found.status == "optimal"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"a": W8, "b": W8}, "it breaks 'fits'"),
        ({"a": W8}, "it says nothing of layer 'b'"),
        ({"a": W8, "b": W4, "c": W4}, "the model has no layer 'c'"),
        ({"a": W8, "b": W48}, "b may not take w4a8"),
    ],
)
def test_an_allocation_that_is_not_allowed_is_refused(
    wanted: Mapping[str, Precision], said: str
) -> None:
    with pytest.raises(HawqError, match="HQ867") as caught:
        take(wanted)
    assert said in caught.value.diagnostics[0].message
