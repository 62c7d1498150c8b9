"""Whatever a file holds, `check` and `fmt` end with diagnostics: no traceback, no hang, little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hawqlang.cli.app import make_app
from hawqlang.resources import data_dir
from hawqlang.stages.resolve import MAX_FINDINGS

H = "hawq 1\n"
NET = "model m { source = onnx({path})\n input = image(8, 8) }\ntarget t { device = cpu.native }\n"


def network(path: str, body: str = "") -> str:
    return f"{H}{NET.replace('{path}', path)}quantize m on t {{ precision = w8a8\n{body} }}\n"


HOSTILE: dict[str, tuple[str | bytes, set[str]]] = {
    "empty": ("", {"HQ110"}),
    "blank": (" \n\t\n", {"HQ110"}),
    "only a mark": (b"\xef\xbb\xbf", {"HQ110"}),
    "mark and crlf": (b"\xef\xbb\xbfhawq 1\r\n\r\nparam a: int = 1\r\n", set()),
    "tabs": ("\thawq\t1\n\tparam\ta:\tsize\t=\t1\tMiB\n", set()),
    "carriage returns": ("hawq 1\rparam a: t\r", {"HQ103"}),
    "latin-1": (b"hawq 1\n# \xe9\n", {"HQ101"}),
    "utf-16": ("hawq 1\n".encode("utf-16"), {"HQ101"}),
    "surrogate": (b"hawq 1\n# \xed\xa0\x80\n", {"HQ101"}),
    "nul": (b"hawq 1\nparam a\x00b: int = 1\n", {"HQ103"}),
    "zero width": (f"{H}param a\u200bb: int = 1\n", {"HQ103"}),
    "homoglyph": (f"{H}param s\u0456ze: int = 1\n", {"HQ103"}),
    "bidirectional": (f'{H}import "a\u202eb.hawq"\n', {"HQ103", "HQ221"}),
    "ten megabytes": (b"# x\n" * 2_621_440, {"HQ102"}),
    "one long word": (f"{H}param a: size = {'x' * 1_000_000}", set()),
    "a million digits": (f"{H}param a: int = {'9' * 1_000_000}\n", {"HQ107"}),
    "a million digits of exponent": (f"{H}param a: float = 1e{'9' * 1_000_000}\n", {"HQ107"}),
    "out of range": (
        f"{H}param a: int = 9223372036854775808\nparam b: float = 1e309\n",
        {"HQ107"},
    ),
    "words like nan": (f"{H}param a: float = nan\nparam b: size = NaN MiB\n", set()),
    "parentheses": (f"{H}param a: int = {'(' * 10_000}1{')' * 10_000}\n", {"HQ108"}),
    "blocks": (f"{H}model m {'{ b ' * 10_000}{'}' * 10_001}\n", {"HQ108"}),
    "open braces": (H + "{" * 500_000, {"HQ102"}),
    "open parentheses": (H + "(" * 40_000, {"HQ120", "HQ132", "HQ139", "HQ108"}),
    "closing braces": (H + "}\n" * 5_000, {"HQ122"}),
    "signs": (f"{H}param a: int = {'-' * 40_000}1\n", {"HQ108", "HQ256"}),
    "escapes": (H + 'import "' + r"\q" * 50_000 + '"\n', {"HQ105"}),
    "comments": (H + "# hawq: ignore[HQ999]\n" * 40_000, {"HQ102"}),
    "control characters": (f'{H}import "a\x1b[31m\x07.hawq"\n', {"HQ103"}),
    "escaped control characters": (network('"\\u{1b}[31m\\u{7}.onnx"'), {"HQ209"}),
    "thousands of statements": (H + "modle m { }\n" * 1_500, {"HQ130"}),
    "thousands of doubles": (H + "param p: int = 1\n" * 1_000, {"HQ202"}),
    "thousands of names": (
        network('"n.onnx"', "".join(f"a{n} = b{n}\n" for n in range(700))),
        {"HQ205"},
    ),
    "zeros": (
        H + "target t { device { native = [w8a8]\nbandwidth = 0 B/s }\nbatch = 0 }\n",
        {"HQ209"},
    ),
    "import of itself": (f'{H}import "spec.hawq"\n', {"HQ224"}),
    "import of a folder": (f'{H}import "folder.hawq"\n', {"HQ222"}),
    "import of a device": (f'{H}import "device.hawq"\n', {"HQ223"}),
    "import of a loop of links": (f'{H}import "loop.hawq"\n', {"HQ222"}),
    "import of nothing": (f'{H}import "nothing.hawq"\n', {"HQ222"}),
    "import of a long name": (f'{H}import "{"a" * 900_000}.hawq"\n', {"HQ222"}),
    "import from outside": (f'{H}import "../../x.hawq"\n', {"HQ223"}),
}
ACCEPTED = {"mark and crlf", "tabs"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "folder.hawq").mkdir()
    (tmp_path / "device.hawq").symlink_to("/dev/zero")
    (tmp_path / "loop.hawq").symlink_to("pool.hawq")
    (tmp_path / "pool.hawq").symlink_to("loop.hawq")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAWQ_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def hawqc(*arguments: str) -> Any:
    return CliRunner().invoke(make_app(("check", "fmt")), arguments)


def is_tame(text: str) -> bool:
    """Whether a terminal may be given a text, and a reader: no control characters, no endless lines."""
    return all(c == "\n" or c.isprintable() for c in text) and len(text) < 200_000


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_is_a_diagnostic(case: str, folder: Path) -> None:
    content, expected = HOSTILE[case]
    write(folder / "spec.hawq", content)
    status = 0 if case in ACCEPTED else 1

    for shape in ("text", "json"):
        done = hawqc("check", "spec.hawq", "--format", shape)
        assert done.exit_code == status, done.stdout[:2000]
        assert is_tame(done.stdout)
        assert "HQ899" not in done.stdout + done.stderr
        if shape == "json":
            found = json.loads(done.stdout)["diagnostics"]
            assert not expected or expected & {d["code"] for d in found}
            assert len(found) <= MAX_FINDINGS
            assert all(len(d["message"]) < 1_000 for d in found)
    assert hawqc("fmt", "--check", "spec.hawq").exit_code in {0, 1}
    assert (folder / "spec.hawq").stat().st_size == len(
        content if isinstance(content, bytes) else content.encode()
    )


@pytest.mark.parametrize("name", ["folder.hawq", "device.hawq", "loop.hawq", "nothing.hawq", ""])
def test_what_is_no_file_is_misuse(name: str, folder: Path) -> None:
    del folder
    for command in ("check", "fmt"):
        done = hawqc(command, name)
        assert done.exit_code == 2
        assert "error[HQ8" in done.stderr


def test_an_unreadable_file_is_misuse(folder: Path) -> None:
    write(folder / "spec.hawq", H)
    (folder / "spec.hawq").chmod(0)
    if os.access(folder / "spec.hawq", os.R_OK):
        pytest.skip("this user may read everything")

    assert hawqc("check", "spec.hawq").exit_code == 2


def test_a_cycle_over_several_files_is_printed(folder: Path) -> None:
    for here, there in (("a", "b"), ("b", "c"), ("c", "a")):
        write(folder / f"{here}.hawq", f'{H}import "{there}.hawq"\n')

    done = hawqc("check", "a.hawq")

    assert "the imports form a cycle: a.hawq -> b.hawq -> c.hawq -> a.hawq" in done.stdout


def test_findings_beyond_the_cap_are_counted(folder: Path) -> None:
    write(folder / "spec.hawq", HOSTILE["thousands of doubles"][0])

    done = hawqc("check", "spec.hawq")

    assert "note: 799 further findings are not shown, 799 of them errors" in done.stdout


MEMORY = r"""
import re, sys
from pathlib import Path
from hawqlang.cli.app import run
try:
    run(["check", "--format", "json", *sys.argv[1:]])
except SystemExit:
    pass
peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
print(int(peak[1]) // 1024, file=sys.stderr)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_all_of_it_takes_less_than_200_megabytes(folder: Path) -> None:
    names: list[str] = []
    for number, (content, _) in enumerate(HOSTILE.values()):
        names.append(f"s{number}.hawq")
        write(folder / names[-1], content)

    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *names],
        env={**os.environ, "PYTHONPATH": str(data_dir("specs").parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert int(done.stderr.split()[-1]) < 200, done.stderr
