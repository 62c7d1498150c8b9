"""Forms of kernels chosen by measurement: from a made-up source of times, and once from the machine's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawqlang_codegen.tvm.isa import ISAS
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.run import TvmRunner
from hawqlang_codegen.tvm.select import (
    AXES,
    LANES,
    REGISTERS,
    Choice,
    Work,
    alternatives,
    modelled,
)
from hawqlang_codegen.tvm.trial import Trial
from hawqlang_codegen.tvm.tuning import NOISE, Database, open_database, tune
from tests.unit.codegen.tvm.conftest import Built

CPU, ISA = "a made-up CPU", "vnni"


def work(height: int = 14, width: int = 14, channels: int = 256, **more: Any) -> Work:
    given: dict[str, Any] = {
        "kernel": (3, 3),
        "stride": (1, 1),
        "words": 576,
        "nibbles": False,
        "halves": False,
        "grouped": False,
        "stores": 1,
        "summed": False,
    }
    return Work(height=height, width=width, channels=channels, **(given | more))


class Source:
    """Times that are made up: a choice's ratio is known beforehand, and every request is noted."""

    def __init__(self, fast: Mapping[Work, int], ratio: float = 0.5) -> None:
        self.fast, self.ratio = fast, ratio
        self.asked: list[Mapping[Work, Choice]] = []

    def __call__(self, trial: Mapping[Work, Choice]) -> dict[Work, float]:
        self.asked.append(dict(trial))
        return {
            one: self.ratio
            if alternatives(one, ISA).index(choice) == self.fast.get(one)
            else 1.0 + NOISE / 2
            for one, choice in trial.items()
        }


def nothing(done: int, total: int) -> None:
    assert done <= total


works = st.builds(
    work, st.integers(1, 60), st.integers(1, 60), st.integers(1, 600), nibbles=st.booleans()
)


@given(works, st.sampled_from(sorted(AXES)))
def test_every_alternative_fits_the_registers_and_the_map(one: Work, isa: str) -> None:
    found = alternatives(one, isa)
    assert found[0] == modelled(one)
    assert len(set(found)) == len(found)
    for choice in found:
        tile = choice.tile
        used = tile.pixels * tile.vectors + tile.vectors * (2 if one.nibbles else 1) + 1
        assert used <= REGISTERS
        for form in (tile, choice.narrow_tile, choice.madd_tile):
            assert form.rows <= one.height
            assert form.columns <= one.width
        assert (tile.vectors - 1) * LANES < one.channels


def test_every_instruction_set_has_alternatives() -> None:
    assert set(AXES) == {isa.name for isa in ISAS}
    assert all(len(alternatives(work(), isa.name)) > 1 for isa in ISAS)


def test_the_fastest_choice_is_taken_and_the_model_decides_the_rest() -> None:
    a, b = work(), work(channels=64)
    database = Database(CPU, ISA)
    found = tune([a, b, a], database, Source({a: 2}), 60, nothing)
    assert found[a] == alternatives(a, ISA)[2]
    assert found[b] == modelled(b)


def test_differences_within_the_noise_are_ties_that_the_model_decides() -> None:
    one = work()
    source = Source({one: 3}, ratio=1 - NOISE / 2)
    assert tune([one], Database(CPU, ISA), source, 60, nothing)[one] == modelled(one)


def test_the_same_measurements_give_the_same_choices_in_any_order(tmp_path: Path) -> None:
    several = [work(channels=c) for c in (32, 64, 256)]
    fast = {one: i + 1 for i, one in enumerate(several)}
    first = tune(several, Database(CPU, ISA), Source(fast), 60, nothing)
    assert tune(several[::-1], Database(CPU, ISA), Source(fast), 60, nothing) == first


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    one = work()
    first = Source({one: 1})
    chosen = tune([one], open_database(tmp_path, ISA, CPU), first, 60, nothing)
    again = Source({})
    assert tune([one], open_database(tmp_path, ISA, CPU), again, 60, nothing) == chosen
    assert first.asked
    assert not again.asked


def test_a_tuning_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    one = work()
    count = len(alternatives(one, ISA)) - 1

    class Killed(Source):
        def __call__(self, trial: Mapping[Work, Choice]) -> dict[Work, float]:
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().__call__(trial)

    with pytest.raises(KeyboardInterrupt):
        tune([one], open_database(tmp_path, ISA, CPU), Killed({one: count}), 60, nothing)
    rest = Source({one: count})
    found = tune([one], open_database(tmp_path, ISA, CPU), rest, 60, nothing)
    assert len(rest.asked) == count - 2
    assert found[one] == alternatives(one, ISA)[count]


def test_no_round_begins_after_the_time_is_up() -> None:
    ticks = iter(range(100))
    source = Source({})
    tune([work()], Database(CPU, ISA), source, 2, nothing, clock=lambda: float(next(ticks)))
    assert len(source.asked) == 1
    assert tune([work()], Database(CPU, ISA), source, 0, nothing) == {}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"ratios": 3}',
        b"\xff\xfe",
        b'{"cpu":"x","isa":"y","generation":"z","ratios":{}}',
    ],
)
def test_a_damaged_database_counts_as_empty_and_is_replaced(tmp_path: Path, damage: bytes) -> None:
    one = work()
    tune([one], open_database(tmp_path, ISA, CPU), Source({one: 1}), 60, nothing)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    source = Source({one: 2})
    found = tune([one], open_database(tmp_path, ISA, CPU), source, 60, nothing)
    assert found[one] == alternatives(one, ISA)[2]
    assert open_database(tmp_path, ISA, CPU).find(one, found[one]) == 0.5


def test_another_cpu_and_another_instruction_set_have_databases_of_their_own(
    tmp_path: Path,
) -> None:
    one = work()
    tune([one], open_database(tmp_path, ISA, CPU), Source({one: 1}), 60, nothing)
    assert open_database(tmp_path, ISA, CPU).ratios
    assert not open_database(tmp_path, ISA, "another CPU").ratios
    assert not open_database(tmp_path, "avx2", CPU).ratios


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = work()
    found = tune([one], open_database(tmp_path / "file", ISA, CPU), Source({one: 1}), 60, nothing)
    assert found[one] == alternatives(one, ISA)[1]


def test_alternatives_compute_the_same_bits(built: Built, tmp_path: Path) -> None:
    """Every work of a small network at its last alternative, on whatever this machine has."""
    runner = TvmRunner(built.folder, None)
    isa = next(isa for isa in ISAS if isa.name == runner.variant)
    runner.close()
    plan = plan_program(built.program, built.store)
    chosen = {one.work: alternatives(one.work, isa.name)[-1] for one in plan.chosen}
    ratios = Trial(built.program, built.store, isa, tmp_path, None).measure(chosen)
    assert set(ratios) == set(chosen)
    assert all(ratio > 0 for ratio in ratios.values())
    other = TvmRunner(tmp_path / "alternative", isa.name)
    np.testing.assert_array_equal(other.run(built.images), built.logits)
    other.close()
    assert plan_program(built.program, built.store, chosen).chosen[0].measured
    assert not plan.chosen[0].measured
