"""What an analysis measured is found again by its files, and by nothing that differs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hawqlang.cache import Cache
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build
from hawqlang.session import Session
from hawqlang.stages.analyse import Analysis, analyse
from hawqlang.stages.analysed import Measured, keep, recall
from hawqlang.stages.import_model import import_structure
from hawqlang.stages.import_model.layer_table import layer_table
from hawqlang.stages.resolve import resolve_file


@pytest.fixture(scope="module")
def example(repository: Path) -> Path:
    return repository / "specs" / "examples"


@pytest.fixture(scope="module")
def text(example: Path) -> str:
    """The digits example with a bound on the perturbation and a `layer` block."""
    found = (example / "digits.hawq").read_text(encoding="utf-8")
    found = found.replace("calm: switches", "quiet: perturbation <= 0.01\n    calm: switches")
    block = "layer last {\n    precision = [w4a8, w8a8]\n  }\n  minimize"
    return found.replace("minimize", block, 1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def written(example: Path, folder: Path, text: str) -> Path:
    shutil.copytree(example / "digits", folder / "digits")
    path = folder / "spec.hawq"
    path.write_text(text, encoding="utf-8")
    return path


def resolved(path: Path) -> tuple[Build, LayerTable]:
    spec, found = resolve_file(path, overrides={})
    assert spec is not None, found
    build = spec.builds[0]
    return build, layer_table(import_structure(build.model), residual=build.residual)


@pytest.fixture(scope="module")
def analysis(
    example: Path, text: str, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Analysis:
    build, _ = resolved(written(example, tmp_path_factory.mktemp("spec"), text))
    return analyse(build, Session(Cache(cache)), lambda _: None)


def test_candidates_come_back_as_they_were(
    analysis: Analysis, example: Path, text: str, cache: Path, tmp_path: Path
) -> None:
    build, table = resolved(written(example, tmp_path, text))
    known = recall(build, table, Cache(cache))
    assert known is not None
    assert known.sensitivities == analysis.sensitivities
    ours = [own.candidates for own in known.candidates(build, table).layers]
    assert ours == [own.candidates for own in analysis.candidates.layers]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("quantize digits", "# a line more\n\nquantize digits"),
        ("quiet: perturbation <= 0.01", "quiet: perturbation <= 0.02"),
        ("51 KiB", "60 KiB"),
    ],
    ids=["lines moved", "another bound", "another budget"],
)
def test_what_does_not_enter_a_measurement_may_change(
    analysis: Analysis, example: Path, text: str, cache: Path, tmp_path: Path, old: str, new: str
) -> None:
    del analysis
    assert old in text
    build, table = resolved(written(example, tmp_path, text.replace(old, new)))
    assert recall(build, table, Cache(cache)) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('digits_calib.npz")', 'digits_calib.npz", count = 200)'),
        ("range = mse", "range = minmax"),
        ("std = [0.377]", "std = [0.4]"),
        ("precision = [w4a4, w4a8, w8a8]", "precision = [w4a4, w8a8]"),
        ("layer last", "seed = 1\n  layer last"),
        ("layer last", "sensitivity = hessian(probes = 8)\n  layer last"),
        ("layer last", "layer first"),
    ],
    ids=["data", "ranges", "input", "candidates", "seed", "method", "rule"],
)
def test_what_enters_a_measurement_may_not(
    analysis: Analysis, example: Path, text: str, cache: Path, tmp_path: Path, old: str, new: str
) -> None:
    del analysis
    assert old in text
    build, table = resolved(written(example, tmp_path, text.replace(old, new)))
    assert recall(build, table, Cache(cache)) is None


@pytest.mark.parametrize("name", ["digits.onnx", "digits_calib.npz"])
def test_other_bytes_of_a_file_are_another_measurement(
    analysis: Analysis, example: Path, text: str, cache: Path, tmp_path: Path, name: str
) -> None:
    del analysis
    build, table = resolved(written(example, tmp_path, text))
    with (tmp_path / "digits" / name).open("ab") as file:
        file.write(b"\0")
    assert recall(build, table, Cache(cache)) is None


@pytest.mark.parametrize(
    ("ending", "found"), [(b"location", True), (b"\n\x08location\x12\x01x", False)]
)
def test_a_model_with_parameters_in_other_files_is_not_known_by_its_own(
    analysis: Analysis, example: Path, text: str, tmp_path: Path, ending: bytes, found: bool
) -> None:
    """An ONNX entry that names an external file is ``key: "location"`` in protobuf."""
    build, table = resolved(written(example, tmp_path, text))
    with (tmp_path / "digits" / "digits.onnx").open("ab") as file:
        file.write(ending)
    known = Cache(tmp_path / "cache")
    samples = analysis.known().samples.digest
    assert analysis.sensitivities is not None
    measured = Measured(analysis.sensitivities, analysis.candidates, None)
    keep(build, table, samples, measured, known)
    assert (recall(build, table, known) is not None) == found


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ("0.01", "not checked for `digits`: good (at build)"),
        ("1e-9", "no allocation satisfies 'quiet'"),
    ],
)
def test_check_decides_a_bound_on_the_perturbation_without_torch(
    analysis: Analysis, example: Path, text: str, cache: Path, tmp_path: Path, bound: str, said: str
) -> None:
    del analysis
    file = written(example, tmp_path, text.replace("<= 0.01", f"<= {bound}"))
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from hawqlang.cli.app import make_app\n"
        f"result = CliRunner().invoke(make_app(), ['check', {str(file)!r}])\n"
        "print(result.output)\n"
        "print(sorted({'torch', 'tvm'} & set(sys.modules)))\n"
    )
    root = example.parent.parent
    paths = os.pathsep.join([str(root), str(root / "codegen")])
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": paths, "HAWQ_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said in found.stdout
    assert "needs sensitivities" not in found.stdout
    assert found.stdout.strip().endswith("[]")
    empty = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": paths, "HAWQ_CACHE": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "quiet (needs sensitivities)" in empty.stdout
