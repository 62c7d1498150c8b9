"""Rewrite what README.md and the pages of docs/ quote: files, tables, and the real output of commands.

    python docs/record.py [--files-only] [PAGE...]

Three kinds of part are rewritten, each between its markers::

    <!-- include: PATH -->           the fenced block that follows holds the file PATH
    <!-- end include -->

    <!-- generated: NAME -->         what `docs/tables.py` makes of the compiler's own tables
    <!-- end generated -->

    <!-- record                      the fenced block that follows shows each command and what it
    COMMAND                          printed; a command after "! " is expected to fail
    ! COMMAND
    -->
    <!-- end record -->

and the pages of `docs/reference/diagnostics` altogether. Commands run one after the other, with this
environment's programs first on the PATH, an empty cache, and without the examples' locks: in the
repository's root, or, in a page that says `<!-- workplace -->`, in an empty folder, where every
block below a comment `<!-- file: PATH -->` is written to that file before the commands after it.
Text that was overwritten is left out. A command that ends otherwise than expected stops the run and
nothing is written. `--files-only` runs no command.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import tables

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
GENERATED = re.compile(
    r"(?P<open><!-- generated: (?P<words>[^>]+?) -->\n)(?P<body>.*?)(?P<close><!-- end generated -->)",
    re.DOTALL,
)
FILE = re.compile(r"<!-- file: (?P<file>\S+) -->\n```\w*\n(?P<text>.*?)```\n", re.DOTALL)
STEP = re.compile(f"{RECORD.pattern}|{FILE.pattern}", re.DOTALL)
WORKPLACE = "<!-- workplace -->\n"
DIAGNOSTICS = ROOT / "docs" / "reference" / "diagnostics"
PROGRAMS = Path(sys.executable).parent
"""Where `hawqc` is."""
WIDTH = "100"
SECONDS = 900


def documents() -> list[Path]:
    """Return the Markdown files that may quote something."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    whole = diagnostics_pages()
    return [ROOT / "README.md", *(page for page in pages if page not in whole)]


def diagnostics_pages() -> dict[Path, str]:
    """Return the pages that are generated as a whole, by their files."""
    pages = {tables.page_name(digit): tables.diagnostics_page(digit) for digit in tables.GROUPS}
    return {DIAGNOSTICS / name: text for name, text in pages.items()}


def with_files(text: str) -> str:
    """Return ``text`` with every included file as it is now."""

    def replaced(match: re.Match[str]) -> str:
        body = (ROOT / match["path"]).read_text(encoding="utf-8")
        return match["open"] + body.rstrip("\n") + "\n" + match["close"]

    return INCLUDE.sub(replaced, text)


def with_tables(text: str) -> str:
    """Return ``text`` with every generated part as the compiler's tables give it now."""

    def replaced(match: re.Match[str]) -> str:
        return f"{match['open']}\n{tables.generated(match['words'])}\n{match['close']}"

    return GENERATED.sub(replaced, text)


def with_outputs(
    text: str, run: Callable[[str], str], write: Callable[[str, str], None] | None = None
) -> str:
    """Return ``text`` with every recorded command's output, as ``run`` gives it.

    ``write`` gets the path and the text of every block that is a file, in its turn.
    """

    def replaced(match: re.Match[str]) -> str:
        if match["file"] is not None:
            if write is not None:
                write(match["file"], match["text"])
            return match[0]
        parts = [run(line) for line in match["commands"].splitlines() if line.strip()]
        return match["open"] + "\n".join(parts) + match["close"]

    return STEP.sub(replaced, text)


def recorded(text: str, cache: str) -> str:
    """Return ``text`` with the output of its commands, run where the page wants them."""
    with workplace(text) as folder:

        def write(path: str, content: str) -> None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")

        return with_outputs(text, partial(run_command, cache=cache, folder=folder), write)


@contextmanager
def workplace(text: str) -> Generator[Path]:
    """Yield the folder in which a page's commands run."""
    if WORKPLACE not in text:
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def run_command(line: str, cache: str, folder: Path = ROOT) -> str:
    """Return ``$ COMMAND`` and everything it printed; ``SystemExit`` when it ends unexpectedly."""
    fails = line.startswith("! ")
    command = line.removeprefix("! ")
    done = subprocess.run(  # noqa: S602 - the commands stand in this project's own documents
        command,
        shell=True,
        cwd=folder,
        env=environment(os.environ, cache),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    output = readable(done.stdout.decode(), folder)
    if (done.returncode != 0) != fails:
        sys.exit(f"`{command}` ended with status {done.returncode}:\n{output}")
    return f"$ {command}\n{output}"


def environment(base: Mapping[str, str], cache: str) -> dict[str, str]:
    """Return the environment of recorded commands: own programs first, plain text, one width."""
    path = os.pathsep.join((str(PROGRAMS), str(Path(sys.executable).parent), base.get("PATH", "")))
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": WIDTH}
    return {**base, **plain, "PATH": path, "HAWQ_CACHE": cache}


def readable(output: str, folder: Path = ROOT) -> str:
    """Return output without control sequences, overwritten text and this machine's paths."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r\n", "\n")
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in plain.split("\n")]
    text = "\n".join(lines).strip("\n")
    for place in (folder, ROOT):
        text = text.replace(f"{place}/", "").replace(str(place), ".")
    return text + "\n"


def main() -> None:
    """Rewrite the documents."""
    arguments = sys.argv[1:]
    files_only = "--files-only" in arguments
    chosen = [Path(name).resolve() for name in arguments if not name.startswith("-")]
    texts = diagnostics_pages()
    with tempfile.TemporaryDirectory() as cache:
        if not files_only:
            forget_locks()
        for path in chosen or documents():
            text = with_tables(with_files(path.read_text(encoding="utf-8")))
            texts[path] = text if files_only else recorded(text, cache)
    for path, text in texts.items():
        if not path.exists() or text != path.read_text(encoding="utf-8"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"rewrote {path.relative_to(ROOT)}")


def forget_locks() -> None:
    """Remove the examples' locks: what they record would not be measured again."""
    for lock in (ROOT / "specs" / "examples").glob("*.lock"):
        lock.unlink()


if __name__ == "__main__":
    main()
