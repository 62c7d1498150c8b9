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
from hawqlang.stages.parse import parse_text
from hawqlang.stages.resolve import resolve_file
from tests.docs.markdown import DOCUMENTS, LANGUAGES, ROOT, Block, anchors, blocks, links

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


def specs() -> list[Block]:
    """Return the specs of all documents but those of the catalogue, which has its own tests."""
    return [block for block in blocks("hawq") if block.marker != "catalogue"]


@pytest.mark.parametrize("block", [b for b in specs() if b.marker != "parse"], ids=str)
def test_spec_in_a_document_resolves_without_errors(block: Block, tmp_path: Path) -> None:
    _, found = resolve_file(_file(block, tmp_path), overrides={}, trust=False)
    assert [d for d in found if d.severity == "error"] == []


def _file(block: Block, folder: Path) -> Path:
    """Return a block as a file; one that is included stands where it comes from."""
    if block.marker.startswith("include: "):
        return ROOT / block.marker.removeprefix("include: ")
    path = folder / "block.hawq"
    path.write_text(whole(block), encoding="utf-8")
    return path


@pytest.mark.parametrize("block", [b for b in specs() if b.marker == "parse"], ids=str)
def test_spec_that_imports_other_files_parses(block: Block) -> None:
    tree, found = parse_text(block.text, "block.hawq")
    assert found == ()
    assert tree.items


def commands() -> list[tuple[Block, str]]:
    """Return every line after a prompt, with its block."""
    return [
        (block, line.removeprefix("$ "))
        for block in blocks("console")
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


def hawqc_commands() -> list[tuple[Block, str]]:
    """Return the commands that call the program, in consoles and in steps of workflows."""
    steps = [
        (block, found)
        for block in blocks("yaml")
        for found in re.findall(r"^- run: ([^>\n]*)", block.text, re.MULTILINE)
    ]
    return [pair for pair in (*commands(), *steps) if pair[1].startswith("hawqc ")]


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_blocks_say_what_they_are_in(path: Path) -> None:
    marks = re.findall(r"^ *```(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(marks[::2]) <= set(LANGUAGES)
    assert set(marks[1::2]) <= {""}


def test_hooks_and_inputs_in_workflows_exist() -> None:
    text = "".join(block.text for block in blocks("yaml"))
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"id: (hawqc\S+)", text)) <= set(re.findall(r"- id: (\S+)", hooks))
    action = (ROOT / "action.yml").read_text(encoding="utf-8").partition("\ninputs:")[2]
    (step,) = re.findall(r"uses: OWNER/hawqc.*\n  with:\n((?:    .*\n)+)", text)
    for name in re.findall(r"^    (\w+):", step, re.MULTILINE):
        assert re.search(rf"^  {name}:", action, re.MULTILINE), name


@pytest.mark.parametrize("block", [*blocks("c"), *blocks("cpp")], ids=str)
def test_functions_in_a_document_are_declared_in_a_header(block: Block) -> None:
    headers = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "templates").rglob("*.h*"))
    named = set(re.findall(r"\bhawq_\w+", block.text)) - {"hawq_runtime"}
    assert named
    assert {name for name in named if not re.search(rf"\b{name}\b", headers)} == set()


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


DOCS = ROOT / "docs"
PAGES = [path for path in DOCUMENTS if path.is_relative_to(DOCS)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        target = (path.parent / link.path).resolve() if link.path else path
        assert target.exists(), link
        if link.anchor:
            assert link.anchor in anchors(target), link


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(DOCS).as_posix())
def test_links_of_a_page_stay_on_the_site(path: Path) -> None:
    targets = [(path.parent / link.path).resolve() for link in links(path) if link.path]
    assert [target for target in targets if not target.is_relative_to(DOCS)] == []


def test_every_page_stands_once_in_the_navigation() -> None:
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    navigation = configuration.partition("\nnav:\n")[2]
    named = re.findall(r"[\w/-]+\.md", navigation)
    assert sorted(named) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_codes_in_a_document_are_in_the_catalogue(path: Path) -> None:
    named = set(re.findall(r"\bHQ\d{3}\b", path.read_text(encoding="utf-8")))
    assert {code for code in named if entry(code) is None} == set()


def test_every_command_stands_in_the_reference() -> None:
    reference = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    documented = re.findall(r"^### hawqc (\w+)", reference, re.MULTILINE)
    assert sorted(documented) == sorted(PROGRAM.commands)


def test_commands_that_are_said_to_be_missing_are_missing() -> None:
    limits = (DOCS / "reference" / "limits.md").read_text(encoding="utf-8")
    missing = limits.partition("planned and not there:")[2].partition("\n\n")[0]
    options = {o for c in PROGRAM.commands.values() for p in c.params for o in p.opts}
    assert not set(re.findall(r"`hawqc (\w+)`", missing)) & set(PROGRAM.commands)
    assert not set(re.findall(r"`(--\w+)`", missing)) & options


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.hawq")), ids=lambda p: p.stem)
def test_example_of_the_guides_resolves_and_its_files_are_there(path: Path) -> None:
    spec, found = resolve_file(path, overrides={}, trust=False)
    assert spec is not None
    assert found == ()


@pytest.fixture(scope="module")
def record() -> ModuleType:
    """`docs/record.py` as a module, which finds `docs/tables.py` beside itself."""
    sys.path.append(str(DOCS))
    specification = importlib.util.spec_from_file_location("record", ROOT / "docs" / "record.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_quoted_files_and_tables_are_as_they_are_now(path: Path, record: ModuleType) -> None:
    text = path.read_text(encoding="utf-8")
    assert record.with_files(text) == text
    assert record.with_tables(text) == text, "run `python docs/record.py --files-only`"


def test_pages_of_diagnostics_are_those_of_the_catalogue(record: ModuleType) -> None:
    pages: dict[Path, str] = record.diagnostics_pages()
    assert sorted(pages) == sorted(path for path in PAGES if re.search(r"hq\dxx", path.name))
    stale = [path.name for path, text in pages.items() if path.read_text("utf-8") != text]
    assert stale == [], "run `python docs/record.py --files-only`"


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


def test_files_of_a_page_are_written_before_the_commands_after_them(record: ModuleType) -> None:
    text = (
        "<!-- file: a.hawq -->\n```hawq\nhawq 1\n```\n\n"
        "<!-- record\nfirst\n-->\n```console\n```\n<!-- end record -->\n"
        "<!-- file: b/c.py -->\n```python\nprint()\n```\n"
    )
    seen: list[str] = []

    def run(command: str) -> str:
        seen.append(command)
        return f"$ {command}\n"

    def write(path: str, content: str) -> None:
        seen.append(f"{path}: {content}")

    record.with_outputs(text, run, write)
    assert seen == ["a.hawq: hawq 1\n", "first", "b/c.py: print()\n"]


PASSING = re.compile(
    r"^  \S.* [0-9.]+ s\n|^✓ bit-exact .*\n|[0-9.]+ s$|[0-9.]+ MiB|[0-9,]+ instructions",
    re.MULTILINE,
)
"""What differs from run to run, from machine to machine and from compiler to compiler."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if "<!-- workplace -->" in path.read_text(encoding="utf-8")],
    ids=lambda p: p.name,
)
def test_page_that_can_be_followed_shows_what_happens(
    path: Path, record: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "hawqc").write_text(f'#!/bin/sh\nexec {sys.executable} -m hawqlang "$@"\n')
    (programs / "hawqc").chmod(0o755)
    monkeypatch.setattr(record, "PROGRAMS", programs)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "codegen"))))
    text = path.read_text(encoding="utf-8")
    again: str = record.recorded(text, str(tmp_path / "cache"))
    assert PASSING.sub("", again) == PASSING.sub("", text)


def test_recorded_output_has_no_control_sequences_or_paths(record: ModuleType) -> None:
    raw = f"\x1b[1mbold\x1b[0m in {ROOT}/build  \n 10 %\r 100 %\n\n"
    assert record.readable(raw) == "bold in build\n 100 %\n"
