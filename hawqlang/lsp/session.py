"""What one editor has open: its documents and options, and the findings that it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from lsprotocol import types as lsp

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.lsp.findings import by_document
from hawqlang.lsp.text import Change, Text
from hawqlang.lsp.workspace import Document, Known, Options, Snapshot, View, document_path

_P = ParamSpec("_P")
_T = TypeVar("_T")
Publish = Callable[[str, int | None, list[lsp.Diagnostic]], None]
"""Address, version where the document is open, findings."""


class Session:
    """The state of a server. Its methods run on the event loop; specs are resolved on a thread of their own."""

    def __init__(self, publish: Publish) -> None:
        self.options = Options()
        self.roots: tuple[Path, ...] = ()
        self.encoding: lsp.PositionEncodingKind | str = lsp.PositionEncodingKind.Utf16
        self._publish = publish
        self._documents: dict[Path, Document] = {}
        self._paths: dict[str, Path] = {}
        self._known = Known()
        self._view: View | None = None
        self._resolver = ThreadPoolExecutor(1, "hawqc-resolve")
        self._prover = ThreadPoolExecutor(1, "hawqc-prove")
        self._waiting: dict[Path, asyncio.Task[None]] = {}
        self._told: dict[Path, dict[str, list[lsp.Diagnostic]]] = {}
        """By main file: what was found, by document."""
        self._read: dict[Path, frozenset[Path]] = {}
        """By main file: the files that it was resolved from."""

    # ---- documents -------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """Everything as it is now."""
        if self._view is None:
            self._view = View(dict(self._documents), self.roots, self.options, self._known)
        return self._view

    def changed(self) -> None:
        """Forget what was found: files or options are others now."""
        self._view = None

    def open(self, uri: str, text: str, version: int | None) -> None:
        """Take a document."""
        path = document_path(uri, self.roots)
        self._paths[uri] = path
        self._documents[path] = Document(uri, path, Text(text, self.encoding), version)
        self.changed()
        self.refresh(path)

    def edit(self, uri: str, changes: Sequence[Change], version: int | None) -> None:
        """Take the edits of a document; those of one that is not open are nobody's."""
        path = self._paths.get(uri)
        if path is None:
            return
        before = self._documents[path]
        self._documents[path] = replace(before, text=before.text.edited(changes), version=version)
        self.changed()
        self.refresh(path)

    def close(self, uri: str) -> None:
        """Let a document go: from now on its file is what counts."""
        path = self._paths.pop(uri, None)
        if path is None:
            return
        del self._documents[path]
        self.changed()
        waiting = self._waiting.pop(path, None)
        if waiting is not None:
            waiting.cancel()
        self._tell(path, {})
        self._read.pop(path, None)
        self._known.forget(path)
        self.refresh(path)

    def refresh(self, path: Path | None = None) -> None:
        """Resolve soon what a change of a file concerns; all open documents where none is named."""
        for main in self._documents:
            if path is None or main == path or path in self._read.get(main, ()):
                waiting = self._waiting.get(main)
                if waiting is not None:
                    waiting.cancel()
                self._waiting[main] = asyncio.create_task(self._look(main))

    # ---- answers ---------------------------------------------------------------------------------

    async def ask(
        self,
        uri: str,
        question: Callable[Concatenate[Snapshot, _P], _T],
        nothing: _T,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Return the answer to a question about a document as it is now; ``nothing`` where it is not open."""
        path = self._paths.get(uri)
        if path is None:
            return nothing
        view = self.view
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._resolver, lambda: question(view.snapshot(path), *args, **kwargs)
        )

    # ---- findings --------------------------------------------------------------------------------

    async def _look(self, path: Path) -> None:
        """Tell what is wrong with a spec once nobody has typed for a while, and later what cannot be met."""
        await asyncio.sleep(self.options.debounce)
        loop = asyncio.get_running_loop()
        view = self.view
        snapshot = view.snapshot(path)
        found, read = await loop.run_in_executor(self._resolver, _resolved, snapshot)
        if view is not self.view and path not in self._documents:
            return
        self._read[path] = read
        self._tell(path, found)
        await asyncio.sleep(max(0.0, self.options.prove - self.options.debounce))
        if view is not self.view:
            return
        proven = await loop.run_in_executor(self._prover, _proven, snapshot)
        if view is self.view and proven is not None:
            self._tell(path, proven)

    def _tell(self, main: Path, found: Mapping[str, list[lsp.Diagnostic]]) -> None:
        """Publish the findings of a main file; a document shows those of all main files that read it."""
        before = self._told.get(main, {})
        if found:
            self._told[main] = dict(found)
        else:
            self._told.pop(main, None)
        for uri in dict.fromkeys([*found, *before]):
            merged: list[lsp.Diagnostic] = []
            for told in self._told.values():
                merged += [one for one in told.get(uri, ()) if one not in merged]
            path = self._paths.get(uri)
            version = None if path is None else self._documents[path].version
            self._publish(uri, version, merged)

    def stop(self) -> None:
        """Let the threads end."""
        for task in self._waiting.values():
            task.cancel()
        self._resolver.shutdown(wait=False, cancel_futures=True)
        self._prover.shutdown(wait=False, cancel_futures=True)


def _resolved(snapshot: Snapshot) -> tuple[dict[str, list[lsp.Diagnostic]], frozenset[Path]]:
    """Return the findings of resolving, and the files it read."""
    files = () if snapshot.resolution is None else snapshot.resolution.files
    return by_document(snapshot, snapshot.diagnostics), frozenset(files)


def _proven(snapshot: Snapshot) -> dict[str, list[lsp.Diagnostic]] | None:
    """Return all findings, those of builds included; ``None`` where resolving found errors."""
    resolution = snapshot.resolution
    if resolution is None or resolution.spec is None:
        return None
    from hawqlang.stages.feasibility import findings

    found: tuple[Diagnostic, ...]
    try:
        found = findings(resolution.spec, resolution.spec.builds)
    except HawqError as error:
        found = error.diagnostics
    snapshot.proven = found
    return by_document(snapshot, dict.fromkeys((*resolution.diagnostics, *found)))
