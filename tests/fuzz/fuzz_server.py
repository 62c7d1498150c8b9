"""Feeds edits to the language server's documents, and asks every feature at every kind of place: a run of hours.

    pip install atheris
    python tests/fuzz/fuzz_server.py -max_total_time=3600 [CORPUS_FOLDER]

Options are libFuzzer's. An input chooses a spec of the repository, then edits of it in UTF-16 positions as an editor
sends them. An exception is a finding, and so is a text, tree or diagnostic that differs from those of the whole text
read anew. Input that shows it is left in `crash-…`.

Without atheris, `--plain SECONDS` makes inputs by chance, without feedback from coverage.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from lsprotocol import types as lsp  # noqa: E402

from tests.fuzz.driver import run  # noqa: E402


def _watched() -> AbstractContextManager[Any]:
    """Return what lets atheris see into the modules imported inside, where it is asked for."""
    if __name__ != "__main__" or sys.argv[1:2] == ["--plain"]:
        return nullcontext()
    return import_module("atheris").instrument_imports(include=["hawqlang"])


with _watched():
    from hawqlang.lsp.completion import completion
    from hawqlang.lsp.findings import actions, by_document
    from hawqlang.lsp.formatting import formatted
    from hawqlang.lsp.hints import hints
    from hawqlang.lsp.hover import hover
    from hawqlang.lsp.names import RefusedError, definition, references, rename
    from hawqlang.lsp.outline import folds, symbols
    from hawqlang.lsp.text import Text
    from hawqlang.lsp.workspace import Document, Known, Options, Snapshot, View
    from hawqlang.stages.parse import parse_text
    from hawqlang.stages.resolve import resolve
    from tests.fuzz.fuzz_language import PIECES, corpus

INSERTED = (
    *PIECES,
    "\r",
    "\r\n",
    "\u2028",
    "😀",
    "\ufeff",
    "w4a4",
    " size <= ",
    "\nmodel m {\n",
    "}\n",
    "6 MiB",
    "\x00",
)
SIZES = (0, 0, 0, 1, 2, 7, 60)
"""Characters that an edit takes out."""


class Source:
    """Small numbers from the bytes of an input; zeros where they end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, bound: int) -> int:
        """Return a number from 0 up to, without, ``bound``."""
        piece = self._data[self._at : self._at + 3]
        self._at += 3
        return int.from_bytes(piece, "little") % max(1, bound)

    @property
    def left(self) -> bool:
        """Whether there are bytes left."""
        return self._at < len(self._data)


class Target:
    """A document that inputs edit; what was kept of one input is there for the next, as in a server."""

    def __init__(self, folder: Path) -> None:
        (folder / ".git").mkdir()
        self.path = folder.resolve() / "spec.hawq"
        self.known = Known()
        self.specs = [data.decode("utf-8", "replace") for data in corpus()]

    def __call__(self, data: bytes) -> None:
        """Take one input; anything raised is a finding."""
        source = Source(data)
        text = Text(self.specs[source.below(len(self.specs))])
        self.ask(text, source)
        edits = 0
        while source.left and edits < 8:
            edits += 1
            text = self.edited(text, source)
            self.ask(text, source)

    def edited(self, text: Text, source: Source) -> Text:
        """Return the text after one edit, which is compared with the same edit by offsets."""
        start = source.below(len(text.source) + 1)
        end = min(len(text.source), start + SIZES[source.below(len(SIZES))])
        new = INSERTED[source.below(len(INSERTED))] if source.below(4) else ""
        mark = len(text.source) - len(text.body)
        where = text.range(start - mark, end - mark)
        found = text.edited([lsp.TextDocumentContentChangePartial(where, new)])
        low, high = (text.offset(corner) + mark for corner in (where.start, where.end))
        if found.source != text.source[:low] + new + text.source[high:]:
            raise AssertionError("an edit went elsewhere")
        wild = lsp.Position(source.below(200), source.below(200))
        if not 0 <= found.offset(wild) <= len(found.body):
            raise AssertionError("a position lies outside of the text")
        return found

    def ask(self, text: Text, source: Source) -> None:
        """Ask everything about a text, at some place of it."""
        document = Document(self.path.as_uri(), self.path, text, 1)
        view = View({self.path: document}, (self.path.parent,), Options(), self.known)
        snapshot = view.snapshot(self.path)
        at = text.position(source.below(len(text.body) + 1))
        everywhere = text.whole()
        hover(snapshot, at)
        completion(snapshot, at)
        definition(snapshot, at)
        references(snapshot, at, declaration=True)
        symbols(snapshot)
        folds(snapshot)
        formatted(snapshot)
        hints(snapshot, everywhere)
        by_document(snapshot, snapshot.diagnostics)
        actions(snapshot, snapshot.diagnostics, everywhere, None)
        actions(snapshot, snapshot.diagnostics, everywhere, ["source.fixAll", "quickfix"])
        with suppress(RefusedError):
            rename(snapshot, at, "renamed")
        self.compare(snapshot)

    def compare(self, snapshot: Snapshot) -> None:
        """Hold what was found piece by piece to what the whole text gives."""
        body = snapshot.text.body
        if snapshot.view.parse(self.path, snapshot.shown) != parse_text(body, snapshot.shown):
            raise AssertionError("the tree differs from that of the whole text")
        if snapshot.resolution is None:
            return
        other = View(snapshot.view.documents, (), Options(), Known())
        fresh = resolve(self.path, reader=other)
        if fresh.diagnostics != snapshot.diagnostics or fresh.spec != snapshot.resolution.spec:
            raise AssertionError("the findings differ from those of the whole text")


def plain(target: Target, seconds: float, inputs: int | None = None) -> int:
    """Feed inputs made by chance for some time, or a number of them, and return how many there were."""
    import numpy as np

    rng, tried, end = np.random.default_rng(0), 0, time.monotonic() + seconds
    while time.monotonic() < end and tried != inputs:
        data = rng.bytes(int(rng.integers(6, 120)))
        try:
            target(data)
        except Exception:
            Path(f"crash-plain-server-{tried}").write_bytes(data)
            raise
        tried += 1
    return tried


def no_seeds(atheris: Any, folder: Path) -> list[str]:
    """Return no options: inputs choose among the specs of the repository by themselves."""
    del atheris, folder
    return []


if __name__ == "__main__":
    run(Target, plain, no_seeds)
