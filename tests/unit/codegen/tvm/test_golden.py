"""Generated text, as it is read in review."""

from __future__ import annotations

import numpy as np
import pytest

from hawqlang.backend.render import render
from hawqlang.ir.integer import IntegerProgram
from hawqlang_codegen.tvm import generate
from hawqlang_codegen.tvm.generate import kernels_text, table_context
from hawqlang_codegen.tvm.isa import ISAS, Isa
from hawqlang_codegen.tvm.plan import plan_program
from tests.conftest import Golden
from tests.semantics.programs import Builder


@pytest.fixture(autouse=True)
def fixed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "compiler_version", lambda: "0.0.0")


def digits() -> tuple[IntegerProgram, Builder]:
    """A network of a few kernels: pixels, a 4-bit convolution with a residual, a depthwise one, a linear layer."""
    b = Builder(np.random.default_rng(0))
    x = b.affine(b.image(8, 8, 1), signed=False)
    y = b.conv(x, 16, (3, 3), weight_bits=8)
    z = b.conv(y, 16, (3, 3), weight_bits=4, addend=y)
    d = b.conv(z, 16, (3, 3), groups=16, stride=(2, 2))
    m = b.avg_pool(d, (4, 4))
    return b.program(b.linear(b.flatten(m), 10, bits=(32,)), "digits"), b


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_kernels_read_as_reviewed(golden: Golden, isa: Isa) -> None:
    program, b = digits()
    golden.check(f"tvm/digits_{isa.name}.txt", kernels_text(plan_program(program, b.store), isa))


def test_the_step_table_reads_as_reviewed(golden: Golden) -> None:
    program, b = digits()
    table = table_context(plan_program(program, b.store))
    golden.check("tvm/digits_table.txt", render("tvm/model_table.h.j2", t=table))


def test_equal_shapes_share_one_kernel() -> None:
    b = Builder(np.random.default_rng(1))
    x = b.conv(b.affine(b.image(8, 8, 3)), 16, signed=False)
    for _ in range(4):
        x = b.conv(x, 16, signed=False)
    plan = plan_program(b.program(b.linear(b.flatten(x), 4, bits=(32,))), b.store)
    assert [k.context.kind for k in plan.kernels].count("conv") <= 4
    assert max(len(kernel.users) for kernel in plan.kernels) >= 3


def test_names_cannot_leave_comments_or_strings() -> None:
    assert generate.comment('a */ b\n"""c\\') == "a */ b '''c/"
    assert generate.escape('x"\\\n?é') == "x\\042\\134\\012\\077\\303\\251"
    program, b = digits()
    odd = program.replace(
        name='net */ "\n"""',
        ops=tuple(op.replace(name=f'{op.name} */ "quoted"\n') for op in program.ops),
    )
    table = render("tvm/model_table.h.j2", t=table_context(plan_program(odd, b.store)))
    body = table.split("*/", 1)[1]
    assert '*/ "quoted"' not in body
    assert "quoted\\042" in body


def test_a_float_in_a_template_is_refused() -> None:
    from hawqlang.backend.render import environment

    with pytest.raises(TypeError, match="float"):
        environment().from_string("{{ x }}").render(x=0.5)
