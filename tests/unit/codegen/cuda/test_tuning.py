"""Tiles chosen by measurement, on a device that is made up: it runs nothing and takes the times it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hawqlang.cuda_runtime import CudaModel
from hawqlang.diagnostics import HawqError
from hawqlang_codegen.cuda import tuning
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.build import EMULATED, LIBRARY, emulate
from hawqlang_codegen.cuda.generate import CHOICES
from hawqlang_codegen.cuda.plan import plan_program
from hawqlang_codegen.cuda.select import MOST_MEASURED, TILES, Gemm, alternatives, choose
from tests.unit.codegen.cuda.emulated import write
from tests.unit.codegen.cuda.fake_device import FakeRuntime
from tests.unit.codegen.cuda.test_build import code_of, compiled, tiny

SM_80 = ARCHES["sm_80"]


@dataclass
class FakeTimed:
    """A library whose layers take what their tiles are said to."""

    tiles: Mapping[str, str]
    fast: str
    closed: list[str]

    def profile_batch(self, images: int) -> Mapping[str, int]:
        assert images == 4
        return {name: 500 if self.fast in tile else 1000 for name, tile in self.tiles.items()}

    def close(self) -> None:
        self.closed.append(self.fast)


@dataclass
class FakeDevice:
    """A device on which one tile is twice as fast as all others."""

    fast: str
    name: str = "a made-up GPU"
    number: int = 86
    opened: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    closed: list[str] = field(default_factory=list[str])

    def open(self, folder: Path, images: int) -> FakeTimed:
        assert images == 4
        assert (folder / LIBRARY).is_file()
        table = json.loads((folder / CHOICES).read_text())
        (arch,) = table["architectures"]
        tiles = {row["layer"]: row["architectures"][arch]["tile"] for row in table["layers"]}
        self.opened.append(tiles)
        return FakeTimed(tiles, self.fast, self.closed)


def trial(device: FakeDevice, folder: Path) -> tuning.Trial:
    program, store = tiny()
    return tuning.Trial(
        program=program,
        store=store,
        arch=SM_80,
        images=4,
        device=device,
        folder=folder / "trial",
        objects=folder / "objects",
    )


def nothing(done: int, total: int) -> None:
    assert done <= total


def test_alternatives_begin_with_the_modelled_choice_and_try_every_likely_tile() -> None:
    for rows in (1, 49, 3136, 100352):
        gemm = Gemm(rows, 256, 18, nibbles=False, widened=False)
        found = alternatives(gemm, SM_80)
        assert found[0] == choose(gemm, SM_80)
        assert len(set(found)) == len(found) <= MOST_MEASURED
        assert len({choice.tile for choice in found}) >= 3
        assert {choice.tile for choice in found} <= set(TILES)


def test_the_fastest_tile_of_the_device_is_taken_and_remembered(
    fake_nvcc: Path, tmp_path: Path
) -> None:
    program, store = tiny()
    modelled = plan_program(program, store, (SM_80,), 4)
    gemm = modelled.chosen[0][1]
    wanted = alternatives(gemm, SM_80)[2].tile
    text = f"Tile<{wanted.rows}, {wanted.columns}, {wanted.warp_rows}, 3>"
    device = FakeDevice(text)
    found = tuning.tuned(trial(device, tmp_path), tmp_path / "tuning", 600, nothing)
    assert found["sm_80", gemm].tile == wanted
    plan = plan_program(program, store, (SM_80,), 4, found)
    variants = {step.name: getattr(step.launch, "variants", ()) for step in plan.steps}
    assert text in str(variants[modelled.chosen[0][0]])
    assert len(device.opened) == len(device.closed)

    compiled(fake_nvcc)
    again = FakeDevice(text)
    assert tuning.tuned(trial(again, tmp_path), tmp_path / "tuning", 600, nothing) == found
    assert not again.opened
    other = FakeDevice(text, name="another GPU")
    tuning.tuned(trial(other, tmp_path), tmp_path / "tuning", 600, nothing)
    assert other.opened
    names = {name for name in compiled(fake_nvcc) if name != "model.cu"}
    assert names == set()


def test_without_time_nothing_is_built(tmp_path: Path) -> None:
    device = FakeDevice("")
    assert tuning.tuned(trial(device, tmp_path), None, 0, nothing) == {}
    assert not device.opened


def test_without_nvcc_there_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVCC", "no-such-compiler")
    with pytest.raises(HawqError) as caught:
        tuning.tuned(trial(FakeDevice(""), tmp_path), None, 600, nothing)
    assert code_of(caught) == "HQ878"
    assert "nvcc was not found" in caught.value.diagnostics[0].message


def test_a_device_takes_the_newest_kernels_that_it_can_run() -> None:
    archs = tuple(ARCHES[name] for name in ("sm_75", "sm_80", "sm_90"))
    assert tuning.arch_of(FakeDevice(""), archs).name == "sm_80"
    assert tuning.arch_of(FakeDevice("", number=120), archs).name == "sm_90"
    with pytest.raises(HawqError) as caught:
        tuning.arch_of(FakeDevice("", number=72), archs)
    assert code_of(caught) == "HQ878"
    assert "arch = [sm_72]" in (caught.value.diagnostics[0].help or "")


def test_without_a_device_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime(devices=0)
    runtime.fails["cudaGetDeviceProperties"] = 100
    monkeypatch.setattr("hawqlang.cuda_memory.cuda_python", lambda: runtime)
    with pytest.raises(HawqError) as caught:
        tuning.this_device()
    assert code_of(caught) == "HQ878"
    assert "without `--tune`" in (caught.value.diagnostics[0].help or "")


def test_a_batch_is_timed_step_by_step(tmp_path: Path) -> None:
    program, store = tiny()
    write(program, store, tmp_path, archs=("sm_80",))
    emulate(tmp_path, "-O0")
    runtime = FakeRuntime()
    with CudaModel(tmp_path / EMULATED / LIBRARY, images=3, bindings=runtime) as model:
        times = model.profile_batch(3)
        assert [*times] == [op.name for op in program.ops]
        assert all(time > 0 for time in times.values())
    assert not runtime.alive
