"""Layers of every shape, on every instruction set of this machine, against the interpreter; found ones are shrunk."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hawqlang_codegen.tvm.isa import ISAS
from tests.semantics.families import Case
from tests.semantics.layers import programs
from tests.semantics.test_tvm_kernels import assert_exact

EXAMPLES = int(os.environ.get("HAWQ_EXAMPLES", "100"))
"""Programs of the long run."""
RUN = tuple(isa for isa in ISAS if not isa.base)
"""Tiles have tests of their own, on emulated registers too."""
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@settings(max_examples=3, derandomize=True, deadline=None, suppress_health_check=SLOW)
@given(case=programs(6), batch=st.integers(1, 3))
def test_layers_equal_the_interpreter(
    case: Case, batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert_exact(case, tmp_path_factory.mktemp("layers"), batch=batch, isas=RUN)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)
@given(case=programs(3), batch=st.integers(1, 3))
def test_more_layers_equal_the_interpreter(
    case: Case, batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert_exact(case, tmp_path_factory.mktemp("layers"), batch=batch, isas=RUN)
