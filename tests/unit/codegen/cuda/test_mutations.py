"""Bugs planted in the kernels, one at a time: the emulation catches every one of them, by a fault or by a wrong bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import HawqError
from hawqlang.ir.integer import IntegerProgram
from hawqlang_codegen.cuda import convolutions
from hawqlang_codegen.cuda.arch import Arch
from hawqlang_codegen.cuda.select import Choice, Gemm, Tile
from tests.semantics.programs import Builder
from tests.unit.codegen.cuda.emulated import assert_exact, write


@dataclass(frozen=True)
class Bug:
    """A replacement in one file of the kernels, and a word of the fault that tells it, where it is one."""

    file: str
    right: str
    wrong: str
    fault: str = ""


BUGS = {
    "no barrier before a stage is read": Bug(
        "conv_igemm.cuh",
        "wait_group<T::kStages - 2>();\n        block_barrier();",
        "wait_group<T::kStages - 2>();",
        "race",
    ),
    "one group too few is waited for": Bug(
        "conv_igemm.cuh", "wait_group<T::kStages - 2>", "wait_group<T::kStages - 1>", "waited for"
    ),
    "a group is not committed": Bug(
        "conv_igemm.cuh",
        "loader.fetch(a, shared + ahead * kStage, n0, next);\n        commit_group();",
        "loader.fetch(a, shared + ahead * kStage, n0, next);",
        "waited for",
    ),
    "the stage being read is overwritten": Bug(
        "conv_igemm.cuh",
        "shared + ahead * kStage, n0, next",
        "shared + stage * kStage, n0, next",
        "waited for",
    ),
    "no barrier around staged results": Bug(
        "conv_igemm.cuh",
        "warp_barrier();\n#pragma unroll\n            for (int item",
        "\n#pragma unroll\n            for (int item",
        "race",
    ),
    "a warp's results land in another's": Bug(
        "conv_igemm.cuh", "+ warp * 16 * T::kStaged", "+ warp / 2 * 16 * T::kStaged", "race"
    ),
    "halves of a weight fragment swapped": Bug(
        "conv_igemm.cuh",
        "b[j][0] = pair[0], b[j][1] = pair[1]",
        "b[j][0] = pair[1], b[j][1] = pair[0]",
    ),
    "rows of a matrix load share banks": Bug(
        "conv_igemm.cuh", "(chunk ^ (row >> 1 & 3)) << 4", "chunk << 4", "banks"
    ),
    "an unaligned matrix load": Bug(
        "conv_igemm.cuh", "half * 2 + lane / 16));", "half * 2 + lane / 16) + 4);", "unaligned"
    ),
    "a lane skips a matrix load": Bug(
        "conv_igemm.cuh",
        "            load_matrix(a[i],",
        "            if (lane != 5) load_matrix(a[i],",
        "collective",
    ),
    "too little shared memory": Bug(
        "conv_igemm.cuh",
        "? kStages * stage_bytes(w) :",
        "? kStages * stage_bytes(w) - 64 :",
        "out of bounds",
    ),
    "rows beyond the last are read": Bug(
        "conv_igemm.cuh",
        "tap_rows[i] = m < a.rows ? taps_inside",
        "tap_rows[i] = m < a.rows + 64 ? taps_inside",
        "read outside",
    ),
    "columns beside the map are read": Bug(
        "conv_igemm.cuh",
        "tap_rows[i] >> p.row & tap_columns[i] >> p.column & 1u",
        "tap_rows[i] >> p.row & 1u",
    ),
    "rows beyond the last are stored": Bug(
        "conv_igemm.cuh",
        "if (m < a.rows && c < a.out_channels) finish",
        "if (c < a.out_channels) finish",
        "write outside",
    ),
    "a tap too many in a row": Bug(
        "conv_igemm.cuh", "++column == a.kernel_width", "++column > a.kernel_width"
    ),
    "padding is zero instead of the zero point": Bug(
        "conv_igemm.cuh",
        "first[i] + offset : a.fill, true)",
        "first[i] + offset : a.x, inside(i, place))",
    ),
    "the last step is left out": Bug(
        "conv_igemm.cuh",
        "min(begin + a.part_steps, a.steps)",
        "min(begin + a.part_steps, a.steps - 1)",
    ),
    "a part of a sum is left out": Bug("maps.cuh", "part < a.parts;", "part < a.parts - 1;"),
    "c2 and c3 in the wrong row": Bug(
        "conv_igemm.cuh", "(lane / 4 + 8 * h) * T::kStaged", "(lane / 4 + 8 * (1 - h)) * T::kStaged"
    ),
    "the scale of widened weights": Bug("device.cuh", "kWidenedBits = 4", "kWidenedBits = 3"),
    "odd nibbles keep their even neighbours": Bug("device.cuh", "& kLower", "& 0xFFFFFFFFu"),
    "no rounding": Bug(
        "tensor.cuh", "channel.multiplier) + channel.rounding)", "channel.multiplier))"
    ),
    "the operand's zero point": Bug(
        "tensor.cuh", "const int32_t value = q - addend.zero;", "const int32_t value = q;"
    ),
    "nibbles of a byte swapped": Bug("tensor.cuh", "& 15u) << (4 * i)", "& 15u) << (4 * (i ^ 1))"),
    "a divisor rounded down": Bug("tensor.cuh", " + static_cast<uint64_t>(d) - 1) / ", ") / "),
    "an upper clamp left out": Bug(
        "tensor.cuh", "min(max(value[i] + s.zero, s.lo), s.hi)", "max(value[i] + s.zero, s.lo)"
    ),
    "a tap row of the direct kernel": Bug(
        "conv_direct.cuh", "r * a.kernel_width + s, c, acc", "r + s, c, acc"
    ),
    "padding wins a maximum": Bug("pools.cuh", "best[i] = INT32_MIN", "best[i] = 0"),
}
"""What a programmer gets wrong, and how it shows."""
QUICK = ("no barrier before a stage is read", "columns beside the map are read", "no rounding")


def one_of_each(seed: int = 1) -> tuple[IntegerProgram, TensorStore]:
    """A program of few kernels in which every bug matters."""
    b = Builder(np.random.default_rng(seed), zero_point=2)
    x = b.affine(b.image(9, 7, 3), signed=False)
    first = b.conv(x, 16, (3, 3), bits=(8,), signed=False)
    wide = b.conv(first, 32, (3, 3), bits=(4,), signed=False)
    half = b.conv(wide, 32, (3, 3), weight_bits=4, signed=False)
    tall = b.conv(half, 32, (3, 3), weight_bits=4, signed=False)
    own = b.conv(tall, 32, (3, 3), groups=32, signed=True)
    joined = b.conv(own, 32, (1, 1), padding=(0, 0, 0, 0), addend=tall, signed=True)
    pooled = b.max_pool(joined, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    return b.program(b.linear(b.flatten(pooled), 10, bits=(32,)), "one of each"), b.store


@pytest.fixture
def sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[IntegerProgram, TensorStore, Path]:
    """The program's sources: one tile, whose sums are split where they are long."""

    def small(gemm: Gemm, arch: Arch) -> Choice:
        return Choice(Tile(32, 64, 16), arch.stages, 2 if gemm.steps > 8 else 1, 0)

    monkeypatch.setattr(convolutions, "choose", small)
    program, store = one_of_each()
    write(program, store, tmp_path, archs=("sm_90",))
    return program, store, tmp_path


def plant(bug: Bug, folder: Path) -> None:
    """Put a bug into the sources in ``folder``; it has to be a change."""
    path = folder / bug.file
    text = path.read_text(encoding="utf-8")
    assert text.count(bug.right) >= 1
    path.write_text(text.replace(bug.right, bug.wrong, 1), encoding="utf-8")


def assert_caught(name: str, sources: tuple[IntegerProgram, TensorStore, Path]) -> None:
    """The planted bug is a fault with its word, or a wrong bit."""
    program, store, folder = sources
    bug = BUGS[name]
    plant(bug, folder)
    if not bug.fault:
        with pytest.raises((AssertionError, HawqError)):
            assert_exact(program, store, folder)
        return
    with pytest.raises(HawqError) as caught:
        assert_exact(program, store, folder)
    assert caught.value.diagnostics[0].code == "HQ902"
    assert bug.fault in caught.value.diagnostics[0].message


def test_nothing_is_caught_where_nothing_is_planted(
    sources: tuple[IntegerProgram, TensorStore, Path],
) -> None:
    assert_exact(*sources)


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_caught(
    name: str, sources: tuple[IntegerProgram, TensorStore, Path]
) -> None:
    assert_caught(name, sources)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(BUGS) - set(QUICK)))
def test_every_other_planted_bug_is_caught(
    name: str, sources: tuple[IntegerProgram, TensorStore, Path]
) -> None:
    assert_caught(name, sources)
