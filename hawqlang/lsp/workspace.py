"""The open documents and the files around them, resolved when something asks for them.

A ``View`` is everything as it is at one moment; it never changes, so a request that waits for another still answers
what it was asked about. What was computed is kept with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.ir.syntax import SyntaxTree
from hawqlang.lsp.text import Text
from hawqlang.lsp.uris import path_of, uri_of
from hawqlang.resources import specs_below
from hawqlang.stages.parse import Parsed, parse_file
from hawqlang.stages.parse.pieces import Pieces
from hawqlang.stages.parse.place import Lexed, lex
from hawqlang.stages.resolve import Resolution, resolve
from hawqlang.stages.resolve.memory import Memory

MAX_FILES = 2000
"""So many specs of a folder are looked through for references."""
_KEPT = 512
"""So many parsed files are kept."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an editor may set."""

    overrides: Mapping[str, str] = field(default_factory=dict[str, str])
    """``--set`` values; those that a spec does not declare are left out for it."""
    trust: bool = False
    """Whether a spec may *name* Python code; it is never run here."""
    root: Path | None = None
    debounce: float = 0.15
    """Seconds without an edit after which a spec is resolved."""
    prove: float = 0.6
    """Seconds without an edit after which constraints are proven feasible."""


@dataclass(frozen=True, slots=True)
class Document:
    """One version of an open document."""

    uri: str
    path: Path
    text: Text
    version: int | None


class Known:
    """What was found lately, from one view to the next: only what an edit changed is parsed and resolved again."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, object], Parsed] = {}
        self._documents: dict[str, tuple[str, Parsed]] = {}
        self._pieces: dict[str, Pieces] = {}
        self._memories: dict[Path, Memory] = {}

    def memory(self, main: Path) -> Memory:
        """Return the builds of a main file's last run."""
        return self._memories.setdefault(main, Memory())

    def forget(self, main: Path) -> None:
        """Let go of what was kept for a document."""
        self._memories.pop(main, None)
        self._documents.pop(str(main), None)
        self._pieces.pop(str(main), None)

    def of_text(self, text: str, shown: str) -> Parsed:
        """Return what ``parse_text`` does."""
        last, found = self._documents.get(shown, ("", None))
        if found is None or last != text:
            found = self._pieces.setdefault(shown, Pieces(shown)).parse(text)
            self._documents[shown] = (text, found)
        return found

    def of_file(self, real: Path, shown: str) -> Parsed:
        """Return what ``parse_file`` does."""
        state = real.stat()
        key = (shown, (str(real), state.st_mtime_ns, state.st_size, state.st_ino))
        found = self._kept.pop(key, None) or parse_file(real, shown)
        return self._keep(key, found)

    def _keep(self, key: tuple[str, object], found: Parsed) -> Parsed:
        self._kept[key] = found
        for old in list(islice(self._kept, max(0, len(self._kept) - _KEPT))):
            del self._kept[old]
        return found


class View:
    """The documents and options at one moment, and what has been found in them."""

    def __init__(
        self,
        documents: Mapping[Path, Document],
        roots: tuple[Path, ...],
        options: Options,
        known: Known,
    ) -> None:
        self.documents = documents
        """Open documents by path, links followed."""
        self.roots = roots
        self.options = options
        self.known = known
        self._snapshots: dict[Path, Snapshot] = {}

    # ---- as the resolver reads it ----------------------------------------------------------------

    def parse(self, real: Path, shown: str) -> Parsed:
        """Return the tree of a document, else of the file."""
        document = self.documents.get(real)
        if document is not None:
            return self.known.of_text(document.text.body, shown)
        try:
            return self.known.of_file(real, shown)
        except OSError:
            return parse_file(real, shown)

    def has(self, real: Path) -> bool:
        """Return whether a path is an open document."""
        return real in self.documents

    def digest(self, real: Path) -> str:
        """Return the sha256 of a document's text, else of a file."""
        document = self.documents.get(real)
        data = (
            real.read_bytes()
            if document is None
            else document.text.source.encode("utf-8", "replace")
        )
        return hashlib.sha256(data).hexdigest()

    # ---- snapshots -------------------------------------------------------------------------------

    def snapshot(self, path: Path) -> Snapshot:
        """Return a spec as the main file."""
        if path not in self._snapshots:
            self._snapshots[path] = Snapshot(self, path)
        return self._snapshots[path]

    def specs(self) -> Iterator[Path]:
        """Yield every open document, and every spec of the workspace, each once."""
        yield from self.documents
        below = (path for root in self.roots for path in specs_below(root))
        for path in islice(below, MAX_FILES):
            real = path.resolve()
            if real not in self.documents:
                yield real


class Snapshot:
    """A spec as the main file of a view: its text, its tokens, its tree, and what resolving it gave."""

    def __init__(self, view: View, path: Path) -> None:
        self.view = view
        self.path = path
        self.shown = str(path)
        self.proven: tuple[Diagnostic, ...] = ()
        """What proving feasibility found, once it has run."""

    @cached_property
    def text(self) -> Text:
        """The text; empty where there is none."""
        return self.text_of(self.shown)

    @cached_property
    def lexed(self) -> Lexed:
        """The tokens."""
        return lex(self.text.body)

    @cached_property
    def _parsed(self) -> Parsed:
        return self.view.parse(self.path, self.shown)

    @property
    def tree(self) -> SyntaxTree:
        """The tree, as far as there is one."""
        return self._parsed[0]

    @cached_property
    def _resolved(self) -> Resolution | tuple[Diagnostic, ...]:
        """What resolving gave, or why it could not begin."""
        overrides = self.view.options.overrides
        try:
            found = self._resolve({})
            known = {name: text for name, text in overrides.items() if name in found.index.nodes}
            return self._resolve(known) if known else found
        except ToolError as error:
            return error.diagnostics

    def _resolve(self, overrides: Mapping[str, str]) -> Resolution:
        options = self.view.options
        return resolve(
            self.path,
            overrides=overrides,
            root=options.root,
            trust=options.trust,
            reader=self.view,
            memory=self.view.known.memory(self.path) if self.view.has(self.path) else None,
        )

    @property
    def resolution(self) -> Resolution | None:
        """What resolving gave; ``None`` where it could not begin."""
        return self._resolved if isinstance(self._resolved, Resolution) else None

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that resolving found."""
        return (
            self._resolved.diagnostics if isinstance(self._resolved, Resolution) else self._resolved
        )

    # ---- places ----------------------------------------------------------------------------------

    @cached_property
    def _reals(self) -> dict[str, Path]:
        """The files that spans name."""
        files = () if self.resolution is None else self.resolution.index.files
        return {self.shown: self.path, **{file.shown: file.real for file in files}}

    def path_of(self, shown: str) -> Path | None:
        """Return the file that spans call ``shown``."""
        return self._reals.get(shown)

    def uri_of(self, shown: str) -> str | None:
        """Return the address of the file that spans call ``shown``, as the editor knows it."""
        path = self.path_of(shown)
        if path is None:
            return None
        document = self.view.documents.get(path)
        return uri_of(path) if document is None else document.uri

    def text_of(self, shown: str) -> Text:
        """Return the text of the file that spans call ``shown``."""
        path = self.path if shown == self.shown else self.path_of(shown)
        document = None if path is None else self.view.documents.get(path)
        if document is not None:
            return document.text
        encoding = next((d.text.encoding for d in self.view.documents.values()), Text("").encoding)
        try:
            source = b"" if path is None else path.read_bytes()
        except OSError:
            source = b""
        return Text(source.decode("utf-8", "replace"), encoding)

    def offsets(self, span: Span) -> tuple[int, int]:
        """Return the offsets of a span of this file."""
        return self.text.offsets(span)


def document_path(uri: str, roots: tuple[Path, ...]) -> Path:
    """Return the path of a document; one that no file holds yet gets one in the first folder."""
    path = path_of(uri)
    if path is not None:
        return path.resolve()
    folder = roots[0] if roots else Path.cwd()
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in uri.rpartition("/")[2] or uri)
    return folder.resolve() / f"{name}.hawq"
