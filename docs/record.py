"""Rewrite what README.md and docs/*.md quote: files, and the real output of commands.

    python docs/record.py [--files-only]

Three kinds of block are rewritten, each between its markers::

    <!-- include: PATH -->           the fenced block that follows holds the file PATH
    <!-- end include -->

    <!-- record                      the fenced block that follows shows each command and what it
    COMMAND                          printed; a command after "! " is expected to fail
    ! COMMAND
    -->
    <!-- end record -->

    <!-- table: NAME -->             the table that follows is made from the code: `onnx`, `integer`
    <!-- end table -->

Commands run in the repository's root, one after the other, with this environment's programs
first on the PATH, an empty cache, and without the examples' locks. Text that was overwritten is
left out. A command that ends otherwise than expected stops the run and nothing is written.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from inspect import getdoc
from pathlib import Path

from hawqlang.ops import OPS
from hawqlang.stages.import_model.onnx.operators import RULES

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(
    r"(?P<open><!-- include: (?P<path>\S+) -->\n```(?P<lang>\w*)\n)"
    r"(?P<body>.*?)(?P<close>```\n<!-- end include -->)",
    re.DOTALL,
)
RECORD = re.compile(
    r"(?P<open><!-- record\n(?P<commands>.*?)-->\n```(?P<lang>\w*)\n)"
    r"(?P<body>.*?)(?P<close>```\n<!-- end record -->)",
    re.DOTALL,
)
TABLE = re.compile(
    r"(?P<open><!-- table: (?P<name>\w+) -->\n)(?P<body>.*?)(?P<close><!-- end table -->)",
    re.DOTALL,
)
WIDTH = "100"
SECONDS = 900


def documents() -> list[Path]:
    """Return the Markdown files that may quote something."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_files(text: str) -> str:
    """Return ``text`` with every included file as it is now."""

    def replaced(match: re.Match[str]) -> str:
        body = (ROOT / match["path"]).read_text(encoding="utf-8")
        return match["open"] + body.rstrip("\n") + "\n" + match["close"]

    return INCLUDE.sub(replaced, text)


def with_tables(text: str) -> str:
    """Return ``text`` with every table as the code is now."""
    return TABLE.sub(lambda found: found["open"] + TABLES[found["name"]]() + found["close"], text)


def onnx_table() -> str:
    """Return the ONNX operators that are read, those with one rule in one row."""
    rows: dict[str, list[str]] = {}
    for name, rule in sorted(RULES.items()):
        rows.setdefault(summary(rule), []).append(f"`{name}`")
    lines = [f"| {', '.join(names)} | {words} |" for words, names in rows.items()]
    return "\n".join(["| ONNX | what the importer does |", "| --- | --- |", *lines, ""])


def integer_table() -> str:
    """Return the operators of integer programs."""
    modules = Counter(op.__module__ for op in OPS)
    lines = [
        f"| `{op.model_fields['op'].default}` | "
        f"{summary(sys.modules[op.__module__] if modules[op.__module__] == 1 else op)} |"
        for op in OPS
    ]
    return "\n".join(["| operator | meaning |", "| --- | --- |", *lines, ""])


def summary(thing: object) -> str:
    """Return the first sentence of a docstring, as Markdown."""
    words = (getdoc(thing) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
    return words.replace("|", "\\|")


TABLES: dict[str, Callable[[], str]] = {"onnx": onnx_table, "integer": integer_table}
"""What makes each table."""


def with_outputs(text: str, run: Callable[[str], str]) -> str:
    """Return ``text`` with every recorded command's output, as ``run`` gives it."""

    def replaced(match: re.Match[str]) -> str:
        parts = [run(line) for line in match["commands"].splitlines() if line.strip()]
        return match["open"] + "\n".join(parts) + match["close"]

    return RECORD.sub(replaced, text)


def run_command(line: str, cache: str) -> str:
    """Return ``$ COMMAND`` and everything it printed; ``SystemExit`` when it ends unexpectedly."""
    fails = line.startswith("! ")
    command = line.removeprefix("! ")
    done = subprocess.run(  # noqa: S602 - the commands stand in this project's own documents
        command,
        shell=True,
        cwd=ROOT,
        env=environment(os.environ, cache),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    output = readable(done.stdout.decode())
    if (done.returncode != 0) != fails:
        sys.exit(f"`{command}` ended with status {done.returncode}:\n{output}")
    return f"$ {command}\n{output}"


def environment(base: Mapping[str, str], cache: str) -> dict[str, str]:
    """Return the environment of recorded commands: own programs first, plain text, one width."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join((programs, base.get("PATH", "")))
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": WIDTH}
    return {**base, **plain, "PATH": path, "HAWQ_CACHE": cache}


def readable(output: str) -> str:
    """Return output without control sequences, overwritten text and this machine's paths."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r\n", "\n")
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in plain.split("\n")]
    text = "\n".join(lines).strip("\n")
    return text.replace(f"{ROOT}/", "").replace(str(ROOT), ".") + "\n"


def main() -> None:
    """Rewrite the documents."""
    files_only = "--files-only" in sys.argv[1:]
    texts: dict[Path, str] = {}
    for lock in (ROOT / "specs" / "examples").glob("*.lock"):
        lock.unlink()  # what it records would not be measured again
    with tempfile.TemporaryDirectory() as cache:
        run = partial(run_command, cache=cache)
        for path in documents():
            text = with_tables(with_files(path.read_text(encoding="utf-8")))
            texts[path] = text if files_only else with_outputs(text, run)
    for path, text in texts.items():
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"rewrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
