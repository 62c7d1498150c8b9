"""The fenced blocks of the project's documents, with the markers that stand above them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "DESIGN.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
MARKER = re.compile(r"^<!-- (?P<text>[^>]*?) ?-->$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it stands, its language, what the comment above it says."""

    path: Path
    line: int
    language: str
    marker: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> tuple[Block, ...]:
    """Return every block in that language, over all documents."""
    return tuple(b for path in DOCUMENTS for b in _blocks(path) if b.language == language)


def _blocks(path: Path) -> Iterator[Block]:
    marker, opened, body = "", None, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if opened is not None:
            if line.strip() == "```":
                yield Block(path, opened[0], opened[1], marker, "\n".join(body) + "\n")
                marker, opened, body = "", None, []
            else:
                body.append(line)
        elif line.startswith("```"):
            opened = number, line.removeprefix("```").strip()
        elif found := MARKER.match(line):
            marker = found["text"]
        elif line.strip():
            marker = ""
