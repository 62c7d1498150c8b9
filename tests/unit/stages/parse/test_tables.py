"""The tables come from the grammar, and from the cache where it can be trusted."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hawqlang.resources import data_dir
from hawqlang.stages.parse import tables as module
from hawqlang.stages.parse.tables import Tables, cached_tables, generate


@pytest.fixture(scope="module")
def generated() -> Tables:
    return generate(data_dir("grammar"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "grammar"


def test_tables_from_the_cache_are_the_generated_ones(
    cache: Path, generated: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached_tables(data_dir("grammar"), cache)
    monkeypatch.setattr(module, "generate", lambda _: pytest.fail("made anew"))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    assert first == generated
    assert cached_tables(data_dir("grammar"), cache) == generated
    assert [path.suffix for path in cache.iterdir()] == [".json"]


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "binary", "folder", "no tables"])
def test_a_damaged_cache_is_made_anew(cache: Path, generated: Tables, damage: str) -> None:
    cached_tables(data_dir("grammar"), cache)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[:-10])
        case "changed":
            path.write_bytes(whole.replace(b'"NAME"', b'"MANE"', 1))
        case "binary":
            path.write_bytes(b"\xff\x00\n" * 9)
        case "folder":
            path.unlink()
            path.mkdir()
        case _:
            path.write_bytes(hashlib.sha256(b"[]").hexdigest().encode() + b"\n[]")

    assert cached_tables(data_dir("grammar"), cache) == generated


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, generated: Tables) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")

    assert cached_tables(data_dir("grammar"), blocked / "grammar") == generated


def test_another_grammar_has_another_place_in_the_cache(tmp_path: Path, cache: Path) -> None:
    copy = tmp_path / "grammar"
    shutil.copytree(data_dir("grammar"), copy)
    cached_tables(copy, cache)
    rules = (copy / "hawq.lark").read_text(encoding="utf-8")
    (copy / "hawq.lark").write_text(rules.replace('"maximize"', '"enlarge"'), encoding="utf-8")

    changed = cached_tables(copy, cache)

    assert "enlarge" in {terminal.pattern for terminal in changed.terminals}
    assert len(list(cache.iterdir())) == 2


def test_parsing_with_a_warm_cache_imports_neither_lark_nor_anything_large() -> None:
    script = (
        "import sys\n"
        "from hawqlang.stages.parse import parse_text\n"
        "from hawqlang.diagnostics.formats import render\n"
        "assert parse_text('hawq 1\\nparam a: size = 6 MiB\\n', 'a')[1] == ()\n"
        "sys.modules = dict(sys.modules)\n"
        "print(sorted({'lark', 'numpy', 'torch', 'tvm', 'z3', 'rich'} & set(sys.modules)))\n"
    )
    run = [sys.executable, "-c", script]
    root = data_dir("grammar").parent
    subprocess.run(run, cwd=root, check=True, capture_output=True)
    second = subprocess.run(run, cwd=root, check=True, capture_output=True, text=True)

    assert second.stdout == "[]\n"
