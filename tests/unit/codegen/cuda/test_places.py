"""Operators that the CUDA back end may lack are refused by a diagnostic, before anything is written."""

from __future__ import annotations

import pytest

from hawqlang.diagnostics import HawqError
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.plan import plan_program
from tests.semantics.places import PLACES


@pytest.mark.parametrize("family", sorted(PLACES))
def test_an_operator_is_served_or_refused_by_name(family: str) -> None:
    program, store = PLACES[family](7)
    try:
        plan = plan_program(program, store, tuple(ARCHES.values()), 1)
    except HawqError as error:
        (found,) = error.diagnostics
        assert found.code == "HQ703"
        assert any(op.name in found.message for op in program.ops)
    else:
        assert len(plan.steps) == len(program.ops)
