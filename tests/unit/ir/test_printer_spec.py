"""A printed spec says everything, and resolves to the spec it was printed from."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from hawqlang.diagnostics.codes_2xx import ENTRIES
from hawqlang.ir.literals import decimal_text, number_text, quantity_text, string_text
from hawqlang.ir.printer_spec import print_spec
from hawqlang.ir.units import UNITS
from hawqlang.stages.parse import parse_text
from hawqlang.stages.resolve import resolve_file
from tests.projects import Project, content, new_project

EVERYTHING = """
import "lib.hawq"
import "std/targets/nvidia_t4.hawq"

param budget: size  = 6 MiB
param share:  ratio = 12.5%
param top:    precision = w8a8

dataset data {
  calibration = images("calib", resize = 256, crop = 224, count = 128)
  evaluation  = arrays("x.npz", labels = "t")
  training    = images("eval", labels = "labels.csv")
}
dataset made { calibration = zero_shot(256) }

target phone {
  device {
    native = [w8a8, w4a8]
    rates {
      w8a8 = 60 GMACs/s
      w4a8 = 1 TMACs/s / 3
      w4a4 = 90 GMACs/s
    }
    bandwidth = 12.5 GB/s
    cache     = 512 KiB
    launch    = 2.5 us
    arch      = "x86-64-v3"
  }
  threads = 2
  latency = profile("p.json")
}

quantize net on phone with data as all_of_it {
  precision = [w4a4, top]
  weights {
    granularity = group(64)
    scheme      = affine
    range       = percentile(99.9%)
    rounding    = stochastic
  }
  activations {
    scheme = symmetric
    range  = ema(1 / 3)
  }
  residual        = 16
  accumulator     = int24
  bias_correction = false
  sensitivity     = hessian(probes = 8, tolerance = 2.5%)
  effort          = best
  finetune        = mean_field([-1, 1], epochs = 30, lr = 1e-3, distill = true)
  attempts        = 3
  seed            = 42
  layer all except first, (last and channels >= 256) {
    precision   = [w4a4]
    accumulator = int16
    finetune    = none
    weights {
      granularity = per_tensor
      range       = mse
    }
    activations { range = entropy }
  }
  layer "layers.{i}.*" { bias_correction = true }
  minimize size("fc", last) within 2%, perturbation within 150%
  maximize average_wbits
  subject to {
    fits:  size <= budget
    small: (
      size / size(fp32) <= share   # of the flash
      and count(conv where wbits == 4) >= 10
    )
    tail:  each "layer4.*": wbits == 4 implies abits >= 4
    tied:  same precision across residual, shared_input
    good:  accuracy_drop <= 1%
  }
  emit tvm { cpu = native }
  emit cuda { arch = [sm_75, sm_90a] }
  emit c
  emit onnx
  emit card, report
}

quantize net on nvidia_t4 with made {
  layer all { precision = w8a8 }
  sensitivity = file("s.json")
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return new_project(tmp_path)


@pytest.fixture
def full(project: Project) -> Project:
    project.write(
        "lib.hawq",
        'model net {\nsource = onnx("net.onnx")\nweights = file("net.pt", sha256 = "'
        + "ab" * 32
        + '")\ninput = image(224, 224, mean = [0.485, 1 / 3, 0])\n}\n'
        'model small { source = layers("net.json") }',
    )
    return project


def printed_again(project: Project, text: str) -> str:
    """Return what the printed form of a printed spec is."""
    path = project.folder / "printed.hawq"
    path.write_text(text, encoding="utf-8")
    found, diagnostics = resolve_file(path)
    assert found is not None, diagnostics
    return print_spec(found)


def test_everything_a_spec_can_say_survives_printing(full: Project) -> None:
    resolved = full.spec(EVERYTHING)
    text = print_spec(resolved)
    path = full.folder / "printed.hawq"
    path.write_text(text, encoding="utf-8")
    again, diagnostics = resolve_file(path)
    assert again is not None, diagnostics
    assert content(again) == content(resolved)
    assert print_spec(again) == text


def test_defaults_overrides_and_imports_are_written_out(full: Project) -> None:
    text = print_spec(full.spec(EVERYTHING, overrides={"budget": "3 MB"}))
    assert "import" not in text
    assert "param budget: size = 3 MB\n" in text
    assert "device  = nvidia.t4\n" in text
    assert "order = rgb)" in text
    assert "granularity = per_tensor\n" in text


def test_a_free_word_that_a_declaration_catches_is_quoted(project: Project) -> None:
    text = project.table('precision = w8a8\nemit tvm { cpu = "native" }')
    taken = f'param native: string = "x86_64"\n{text}'
    assert "cpu = native\n" in print_spec(project.spec(text))
    resolved = project.spec(taken)
    assert 'cpu = "native"\n' in print_spec(resolved)
    assert printed_again(project, print_spec(resolved)) == print_spec(resolved)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.code)
def test_every_mended_example_survives_printing(project: Project, entry: object) -> None:
    mended = getattr(entry, "mended", "")
    if not mended.startswith("hawq 1\n"):
        return
    path = project.folder / "spec.hawq"
    path.write_text(mended, encoding="utf-8")
    resolved, diagnostics = resolve_file(path)
    assert resolved is not None, diagnostics
    text = print_spec(resolved)
    path.write_text(text, encoding="utf-8")
    again, diagnostics = resolve_file(path)
    assert again is not None, diagnostics
    assert content(again) == content(resolved)


def test_relative_paths_print_as_seen_from_the_working_directory(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    project.write("sub/spec.hawq", project.table("precision = w8a8"))
    found, _ = resolve_file(Path("sub/spec.hawq"))
    assert found is not None
    assert 'layers("sub/net.json")' in print_spec(found)


# ---- literals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(-3), "-3"),
        (Fraction(485, 1000), "0.485"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(2**63 - 1), "9223372036854775807"),
        (Fraction(2**63), "9223372036854775808e0"),
        (Fraction(10**30), "1e30"),
        (Fraction(1, 10**30), "1e-30"),
        (Fraction(12345, 10**30), "12345e-30"),
        (Fraction(1, 3), None),
    ],
)
def test_decimals_are_exact(value: Fraction, text: str | None) -> None:
    assert decimal_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(1, 255), "1 / 255"), (Fraction(-2, 3), "-2 / 3"), (Fraction(5), "5")],
)
def test_other_numbers_are_quotients(value: Fraction, text: str) -> None:
    assert number_text(value) == text


def test_quantities_take_the_unit_that_is_shortest() -> None:
    assert quantity_text(Fraction(6 * 2**20), "size") == "6 MiB"
    assert quantity_text(Fraction(6 * 10**6), "size") == "6 MB"
    assert quantity_text(Fraction(1, 3), "time") == "1000000000 ns / 3"
    assert quantity_text(Fraction(9999, 10000), "ratio") == "99.99%"


def units() -> Iterator[tuple[str, Fraction]]:
    for unit, (_, factor) in UNITS.items():
        for number in (Fraction(1), Fraction(3, 2), Fraction(1, 3), Fraction(7, 10**20)):
            yield unit, number * factor


@pytest.mark.parametrize(("unit", "value"), list(units()))
def test_a_printed_quantity_is_read_back_as_it_was(
    project: Project, unit: str, value: Fraction
) -> None:
    dim = UNITS[unit][0]
    text = quantity_text(value, dim)
    if dim in ("size/s", "macs/s"):
        body = f"native = w8a8\nrates {{ w8a8 = {text} }}\nbandwidth = 1 GB/s"
        if dim == "size/s":
            body = f"native = w8a8\nrates {{ w8a8 = 1 MACs/s }}\nbandwidth = {text}"
        device = project.spec(f"target box {{\ndevice {{\n{body}\n}}\n}}").targets[0].device
        assert value in (device.bandwidth, device.rates[0][1])
        return
    left = {"ratio": "accuracy", "size": "size", "time": "latency"}.get(dim, dim)
    found = project.spec(
        project.network(
            'calibration = images("calib")\nevaluation = images("eval", labels = "labels.csv")',
            f"precision = w8a8\nsubject to {{ c: {left} <= {text} }}",
        )
    )
    predicate = found.builds[0].constraints[0].predicate
    assert predicate.kind == "compare"
    assert predicate.right.constant == value


@pytest.mark.parametrize("value", ['a "b" \\ c', "a\nb\tc", "é—日", "\u202e\u200b\x07", ""])
def test_strings_are_read_back_as_they_were(value: str) -> None:
    tree, diagnostics = parse_text(f"hawq 1\nparam p: string = {string_text(value)}\n", "x.hawq")
    assert diagnostics == ()
    default = getattr(tree.items[0], "default", None)
    assert getattr(default, "value", None) == value
