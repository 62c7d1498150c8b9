"""Whatever stands in a fenced block of a document is true of the program."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.diagnostics.catalogue import entry
from hawqlang.ops import OPS
from hawqlang.stages.import_model.onnx.operators import RULES
from hawqlang.stages.resolve import resolve_file
from tests.docs.markdown import DOCUMENTS, ROOT, Block, blocks

PROGRAM: Any = typer.main.get_command(make_app())
"""The group of all commands, of a class of typer's own."""

AROUND_QUANTIZE = """hawq 1

model net {{
  source  = zoo("resnet18")
  weights = file("net.pt")
  input   = image(224, 224)
}}

dataset photos {{
  calibration = images("calib/", labels = "calib.csv")
  evaluation  = images("eval/", labels = "eval.csv")
  training    = images("train/", labels = "train.csv")
}}

target host {{
  device = cpu.x86_64
}}

quantize net on host with photos {{
{text}}}
"""
AROUND_TOP = "hawq 1\n\n{text}"


def whole(block: Block) -> str:
    """Return a block as a file: fragments say in the comment above them where they belong."""
    match block.marker:
        case "in: quantize":
            return AROUND_QUANTIZE.format(text=block.text)
        case "in: top":
            return AROUND_TOP.format(text=block.text)
        case _:
            return block.text


@pytest.mark.parametrize("block", blocks("hawq"), ids=str)
def test_spec_in_a_document_resolves_without_errors(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.hawq"
    path.write_text(whole(block), encoding="utf-8")
    _, found = resolve_file(path, overrides={}, trust=False)
    assert [d for d in found if d.severity == "error"] == []


def commands() -> list[tuple[Block, str]]:
    """Return every line after a prompt, with its block."""
    return [
        (block, line.removeprefix("$ "))
        for block in blocks("console")
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


def hawqc_commands() -> list[tuple[Block, str]]:
    return [(block, line) for block, line in commands() if line.startswith("hawqc ")]


@pytest.mark.parametrize(("block", "line"), hawqc_commands(), ids=str)
def test_command_in_a_document_is_one_the_program_takes(block: Block, line: str) -> None:
    del block
    name, *arguments = shlex.split(line, comments=True)[1:]
    if name.startswith("-"):
        assert CliRunner().invoke(make_app(), [name, *arguments]).exit_code == 0
    else:
        assert name in PROGRAM.commands
        PROGRAM.commands[name].make_context(name, arguments)


@pytest.mark.parametrize(
    ("block", "line"), [pair for pair in commands() if " make " in f" {pair[1]} "], ids=str
)
def test_make_target_in_a_document_exists(block: Block, line: str) -> None:
    del block
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    words = line.split()
    assert set(words[words.index("make") + 1 :]) <= targets


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_in_a_document_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `specs`, and with `build/digits` as the documents make it."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(ROOT / "specs", folder / "specs")
    done = run([sys.executable, "-m", "hawqlang", "build", "specs/examples/digits.hawq"], folder)
    assert done.returncode == 0, done.stderr
    return folder


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(ROOT), str(ROOT / "codegen")))
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [b for b in blocks("python") if b.marker == "run: digits"], ids=str
)
def test_python_in_a_document_runs(block: Block, workplace: Path) -> None:
    done = run([sys.executable, "-c", block.text], workplace)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in blocks("c") if b.marker == "run: digits"], ids=str)
def test_c_in_a_document_compiles_and_runs(block: Block, workplace: Path) -> None:
    (workplace / "digits.c").write_text(block.text, encoding="utf-8")
    compile_line = next(line for _, line in commands() if line.startswith("cc "))
    built = run(["bash", "-c", compile_line.replace("cc ", "cc -Wall -Werror ", 1)], workplace)
    assert built.returncode == 0, built.stderr
    done = run(["./digits"], workplace)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kernels for ")


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in blocks("cpp") if b.marker == "run: digits"], ids=str)
def test_cpp_in_a_document_runs_as_a_cmake_project(block: Block, workplace: Path) -> None:
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("this machine has no cmake or no C++ compiler")
    (project,) = (b for b in blocks("cmake") if b.marker == "run: digits")
    (workplace / "digits.cpp").write_text(block.text, encoding="utf-8")
    (workplace / "CMakeLists.txt").write_text(project.text, encoding="utf-8")
    for command in (["cmake", "-S", ".", "-B", "out"], ["cmake", "--build", "out"], ["out/digits"]):
        done = run(command, workplace)
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("30 logits of ")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_codes_in_a_document_are_in_the_catalogue(path: Path) -> None:
    named = set(re.findall(r"\bHQ\d{3}\b", path.read_text(encoding="utf-8")))
    assert {code for code in named if entry(code) is None} == set()


def test_every_command_stands_in_the_reference() -> None:
    reference = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `hawqc (\w+)", reference, re.MULTILINE))
    assert documented == set(PROGRAM.commands)


@pytest.fixture(scope="module")
def record() -> ModuleType:
    """`docs/record.py` as a module."""
    specification = importlib.util.spec_from_file_location("record", ROOT / "docs" / "record.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_quoted_files_are_as_they_are_now(path: Path, record: ModuleType) -> None:
    text = path.read_text(encoding="utf-8")
    assert record.with_files(text) == text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_tables_made_from_the_code_are_as_it_is_now(path: Path, record: ModuleType) -> None:
    text = path.read_text(encoding="utf-8")
    assert record.with_tables(text) == text


def test_the_table_of_operators_names_all_of_them(record: ModuleType) -> None:
    text = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    for op in OPS:
        assert f"| `{op.model_fields['op'].default}` |" in text
    for name in RULES:
        assert f"`{name}`" in text
    stale = "<!-- table: integer -->\nstale words\n<!-- end table -->"
    assert "stale words" not in record.with_tables(stale)


def test_recorded_output_replaces_what_stood_there(record: ModuleType) -> None:
    text = "<!-- record\none\n! two\n-->\n```console\nold\n```\n<!-- end record -->\n"
    ran: list[str] = []

    def run(command: str) -> str:
        ran.append(command)
        return f"$ {command.removeprefix('! ')}\nsaid\n"

    new = record.with_outputs(text, run)
    assert ran == ["one", "! two"]
    assert "```console\n$ one\nsaid\n\n$ two\nsaid\n```" in new
    assert record.with_outputs(new, run) == new


def test_recorded_output_has_no_control_sequences_or_paths(record: ModuleType) -> None:
    raw = f"\x1b[1mbold\x1b[0m in {ROOT}/build  \n 10 %\r 100 %\n\n"
    assert record.readable(raw) == "bold in build\n 100 %\n"
