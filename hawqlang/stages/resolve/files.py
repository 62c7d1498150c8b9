"""The main file and all it imports, read safely: nothing outside the project, only specs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hawqlang.diagnostics import Diagnostic, Fix
from hawqlang.diagnostics.model import ToolError
from hawqlang.ir import syntax
from hawqlang.resources import data_dir
from hawqlang.stages.parse import Parsed, parse_file
from hawqlang.stages.resolve.nesting import prune
from hawqlang.stages.resolve.report import RejectedError, Sink, error, nearest

MAX_DEPTH = 64
"""How many imports may lead from one to the next."""


@dataclass(frozen=True, slots=True)
class Home:
    """The project's folder, which imports may not leave."""

    folder: Path
    closed: bool
    """Whether it was named by ``--root``: then no other path may leave it either."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One parsed file with the files it imports."""

    real: Path
    shown: str
    """The path as the reader knows it."""
    folder: str
    """The folder that paths in the file are relative to, as seen from the working directory."""
    recorded: str
    """The path as the spec records it: relative to the project, or ``std/…``."""
    tree: syntax.SyntaxTree
    digest: str
    """The sha256 of its bytes; empty where it was not read to the end."""
    imports: tuple[tuple[syntax.Import, SourceFile | None], ...]
    """``None`` where the import failed and is reported."""
    std: bool

    def reached(self) -> Iterator[SourceFile]:
        """Yield this file and everything it imports, each once, imports first."""
        yield from _reached(self, set())


def _reached(file: SourceFile, seen: set[Path]) -> Iterator[SourceFile]:
    if file.real in seen:
        return
    seen.add(file.real)
    for _, imported in file.imports:
        if imported is not None:
            yield from _reached(imported, seen)
    yield file


def std_folder() -> Path:
    """Return the folder of the shipped catalogues."""
    return (data_dir("specs") / "std").resolve()


def project_root(path: Path) -> Path:
    """Return the nearest folder at or above the spec's own with a ``.git``, else the spec's own."""
    folder = Path(os.path.abspath(path)).parent.resolve()  # noqa: PTH100 - the link itself is not followed
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return folder


class Reader(Protocol):
    """Where specs come from."""

    def parse(self, real: Path, shown: str) -> Parsed:
        """Return what ``parse_file`` does."""
        ...

    def has(self, real: Path) -> bool:
        """Return whether a file is known that the disk may not have."""
        ...

    def digest(self, real: Path) -> str:
        """Return the sha256 of a file that has been parsed."""
        ...


class Disk:
    """Specs are the files on disk."""

    def parse(self, real: Path, shown: str) -> Parsed:
        """Return what the file says."""
        return parse_file(real, shown)

    def has(self, real: Path) -> bool:
        """Return that the disk is to be asked."""
        return False

    def digest(self, real: Path) -> str:
        """Return the sha256 of the file's bytes."""
        return hashlib.sha256(real.read_bytes()).hexdigest()


DISK = Disk()


def load(
    path: Path, root: Path | None, sink: Sink, reader: Reader = DISK
) -> tuple[SourceFile, Home]:
    """Return the main file with its imports, and the project's folder.

    Raises:
        ToolError: where the main file cannot be read.
    """
    home = project_root(path) if root is None else root.resolve()
    loader = _Loader(home, sink, reader)
    try:
        real = path.resolve()
        if not reader.has(real):
            real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise _unreadable(f"`{path}` cannot be opened", "check the path") from None
    if not real.is_relative_to(home):
        raise _unreadable(f"`{path}` leads outside the project", "name the project with `--root`")
    if real.suffix != ".hawq":
        raise _unreadable(f"`{path}` is not a `.hawq` file", "specs end in `.hawq`")
    if not (reader.has(real) or real.is_file()):
        raise _unreadable(f"`{path}` is not a file", None)
    return loader.parse(real, str(path), ()), Home(home, closed=root is not None)


def _there(path: Path) -> bool:
    """Return whether something is at a path; nothing is at one that the system takes for none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _unreadable(message: str, help_: str | None) -> ToolError:
    return ToolError(Diagnostic(code="HQ220", severity="error", message=message, help=help_))


def _folder(real: Path, shown: str) -> str:
    """Return the folder a file lies in: as the reader knows it, unless a link leads elsewhere."""
    parent = Path(shown).parent
    return str(parent if parent.resolve() == real.parent else real.parent)


class _Loader:
    """Reads files depth first; a file reached twice is parsed once."""

    def __init__(self, root: Path, sink: Sink, reader: Reader) -> None:
        self.root = root
        self.sink = sink
        self.reader = reader
        self.done: dict[Path, SourceFile] = {}
        self.std = std_folder()

    def parse(self, real: Path, shown: str, chain: tuple[SourcePlace, ...]) -> SourceFile:
        """Return a parsed file, its imports loaded."""
        tree, diagnostics = self.reader.parse(real, shown)
        tree = prune(tree, self.sink)
        for diagnostic in diagnostics:
            self.sink.add(diagnostic)
        if tree.partial:
            self.sink.partial = True
        here = SourcePlace(real, shown, _folder(real, shown))
        imports = [
            (item, self.sink.attempt(self.follow, item, here, (*chain, here)))
            for item in tree.items
            if isinstance(item, syntax.Import)
        ]
        if any(file is None for _, file in imports):
            self.sink.partial = True
        std = real.is_relative_to(self.std)
        recorded = f"std/{real.relative_to(self.std).as_posix()}" if std else self._recorded(real)
        digest = "" if tree.partial else self.reader.digest(real)
        file = SourceFile(real, shown, here.folder, recorded, tree, digest, tuple(imports), std)
        self.done[real] = file
        return file

    def _recorded(self, real: Path) -> str:
        return real.relative_to(self.root).as_posix()

    def follow(
        self, item: syntax.Import, here: SourcePlace, chain: tuple[SourcePlace, ...]
    ) -> SourceFile:
        """Return the file an import names."""
        real, shown = self._locate(item.path, here)
        places = [place.real for place in chain]
        if real in places:
            cycle = [place.shown for place in chain[places.index(real) :]]
            message = f"the imports form a cycle: {' -> '.join((*cycle, cycle[0]))}"
            raise error("HQ224", message, item.span, help="move what both need into a third file")
        if real in self.done:
            return self.done[real]
        if len(chain) > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} imports lead from one to the next"
            raise error("HQ225", message, item.span)
        if not (self.reader.has(real) or real.is_file()):
            raise error("HQ222", f'"{item.path.value}" is not a file', item.path.span)
        try:
            return self.parse(real, shown, chain)
        except ToolError:
            message = f'"{item.path.value}" cannot be opened'
            raise error("HQ222", message, item.path.span) from None

    def _locate(self, path: syntax.String, here: SourcePlace) -> tuple[Path, str]:
        """Return where an import leads, after resolving links, and how to show it."""
        self._check_form(path)
        shipped = path.value.startswith("std/")
        inside_std = shipped or here.real.is_relative_to(self.std)
        base = self.std if inside_std else self.root
        if shipped:
            lexical, shown = self.std / path.value.removeprefix("std/"), path.value
        else:
            lexical = here.real.parent / path.value
            shown = os.path.normpath(Path(here.folder) / path.value)
        try:
            real = lexical.resolve()
        except (OSError, RuntimeError, ValueError):
            raise error("HQ222", f'"{path.value}" cannot be followed', path.span) from None
        if not real.is_relative_to(base):
            message = f'"{path.value}" leads outside the project'
            help_ = "imports stay inside the project; `--root` names a larger one"
            raise error("HQ223", message, path.span, help=help_)
        if not (self.reader.has(real) or _there(real)):
            raise self._absent(path, shipped)
        if real.suffix != ".hawq":
            message = f'"{path.value}" leads to a file that is no `.hawq` file'
            raise error("HQ223", message, path.span)
        return real, shown

    def _check_form(self, path: syntax.String) -> None:
        if not path.value.isprintable() or path.value.startswith("/"):
            message = "an import names a path relative to its own file"
            raise error("HQ221", message, path.span, help='write `import "folder/name.hawq"`')
        if not path.value.endswith(".hawq"):
            message = f'"{path.value}" does not end in `.hawq`'
            raise error("HQ221", message, path.span, help="only specs are imported")

    def _absent(self, path: syntax.String, shipped: bool) -> RejectedError:
        if not shipped:
            return error("HQ222", f'"{path.value}" is not there', path.span)
        known = [f"std/{p.relative_to(self.std).as_posix()}" for p in self.std.rglob("*.hawq")]
        guess = nearest(path.value, known)
        help_ = f'did you mean "{guess}"?' if guess else None
        fix = Fix(span=path.span, replacement=f'"{guess}"', sure=False) if guess else None
        message = f'no catalogue "{path.value}" is shipped'
        return error("HQ222", message, path.span, help=help_, fix=fix)


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """A file on the way to the one being read."""

    real: Path
    shown: str
    folder: str
