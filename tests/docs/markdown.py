"""The fenced blocks of the project's documents, with the markers that stand above them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "DESIGN.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "grammar" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
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


LANGUAGES = ("hawq", "console", "python", "c", "cpp", "cmake", "yaml", "text")
"""What a fenced block may be in; all but plain text is tested."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a file, or to a heading of one."""

    path: str
    """Relative to the document; empty for the document itself."""
    anchor: str


def links(path: Path) -> tuple[Link, ...]:
    """Return the links of a document that stay offline, those in code left out."""
    found = re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", prose(path))
    return tuple(Link(*pair) for pair in found)


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a document's headings that the site and the repository's viewer agree on."""
    titles = re.findall(r"^#{1,6} (.+?) *$", prose(path), re.MULTILINE)
    return frozenset(_of_the_site(title) for title in titles) & frozenset(
        _of_the_viewer(title) for title in titles
    )


def prose(path: Path) -> str:
    """Return a document without its fenced blocks and code spans' marks."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return text.replace("`", "")


def _of_the_site(title: str) -> str:
    """Return the anchor that Python-Markdown gives a heading."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _of_the_viewer(title: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")


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
