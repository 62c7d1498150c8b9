"""The server: requests of the protocol, each answered by the module of its feature."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from hawqlang import __version__
from hawqlang.lsp import completion as completing
from hawqlang.lsp.findings import actions
from hawqlang.lsp.formatting import formatted
from hawqlang.lsp.hints import hints
from hawqlang.lsp.hover import hover
from hawqlang.lsp.names import (
    RefusedError,
    definition,
    references,
    rename,
    renameable,
)
from hawqlang.lsp.outline import folds, symbols
from hawqlang.lsp.session import Session
from hawqlang.lsp.uris import path_of
from hawqlang.lsp.workspace import Options, Snapshot

_REFUSED = -32803
"""The protocol's code of a request that cannot be met."""
_WATCHED = "**/*.{hawq,hawq.lock,onnx,json}"


class HawqServer(LanguageServer):
    """The server of one editor."""

    def __init__(self) -> None:
        super().__init__("hawqc", __version__)
        self.session = Session(self._publish)

    def _publish(self, uri: str, version: int | None, found: list[lsp.Diagnostic]) -> None:
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, found, version))


def make_server() -> HawqServer:
    """Return a server with all features."""
    server = HawqServer()
    for register in (_life, _documents, _questions, _edits):
        register(server)
    return server


def serve() -> None:
    """Serve an editor over standard input and output until it ends the server."""
    server = make_server()
    gc.freeze()  # what was imported stays, so nobody has to look through it again
    server.start_io()


def options_from(given: object) -> Options:
    """Return the options an editor gives; what is none of them, or of another type, is left out."""
    if not isinstance(given, Mapping):
        return Options()
    found = cast("Mapping[str, Any]", given)
    params, root = found.get("set"), found.get("root")
    default = Options()
    return Options(
        overrides={
            str(name): str(text)
            for name, text in (
                cast("Mapping[Any, Any]", params).items() if isinstance(params, Mapping) else ()
            )
        },
        trust=found.get("trust") is True,
        root=Path(root).resolve() if isinstance(root, str) and root else None,
        debounce=_seconds(found.get("debounce"), default.debounce),
        prove=_seconds(found.get("prove"), default.prove),
    )


def _seconds(given: object, default: float) -> float:
    """Return milliseconds as seconds."""
    good = isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 60_000
    return float(given) / 1000 if good else default  # pyright: ignore[reportArgumentType]


def _life(server: HawqServer) -> None:
    session = server.session

    @server.feature(lsp.INITIALIZE)
    def initialize(params: lsp.InitializeParams) -> None:
        folders = [folder.uri for folder in params.workspace_folders or ()]
        folders = folders or ([params.root_uri] if params.root_uri else [])
        paths = (path_of(uri) for uri in folders)
        session.roots = tuple(path.resolve() for path in paths if path is not None)
        session.options = options_from(params.initialization_options)

    @server.feature(lsp.INITIALIZED)
    def initialized(params: lsp.InitializedParams) -> None:
        del params
        session.encoding = server.workspace.position_encoding or lsp.PositionEncodingKind.Utf16
        workspace = server.client_capabilities.workspace
        watched = None if workspace is None else workspace.did_change_watched_files
        if watched is not None and watched.dynamic_registration:
            watcher = lsp.FileSystemWatcher(glob_pattern=_WATCHED)
            registration = lsp.Registration(
                "watched",
                lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES,
                lsp.DidChangeWatchedFilesRegistrationOptions([watcher]),
            )
            server.client_register_capability(lsp.RegistrationParams([registration]))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def configured(params: lsp.DidChangeConfigurationParams) -> None:
        given = params.settings
        if isinstance(given, Mapping) and "hawqc" in given:
            session.options = options_from(cast("Mapping[str, Any]", given)["hawqc"])
            session.changed()
            session.refresh()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def watched(params: lsp.DidChangeWatchedFilesParams) -> None:
        del params
        session.changed()
        session.refresh()

    @server.feature(lsp.SHUTDOWN)
    def shutdown(*_: object) -> None:
        session.stop()


def _documents(server: HawqServer) -> None:
    session = server.session

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        session.open(document.uri, document.text, document.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def edited(params: lsp.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        session.edit(document.uri, params.content_changes, document.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        session.close(params.text_document.uri)


def _questions(server: HawqServer) -> None:
    session = server.session

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        return await session.ask(params.text_document.uri, hover, None, params.position)

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION,
        lsp.CompletionOptions(trigger_characters=completing.TRIGGERS),
    )
    async def completed(params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        uri = params.text_document.uri
        return await session.ask(uri, completing.completion, [], params.position)

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    async def defined(params: lsp.DefinitionParams) -> lsp.Location | None:
        return await session.ask(params.text_document.uri, definition, None, params.position)

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    async def referred(params: lsp.ReferenceParams) -> list[lsp.Location]:
        return await session.ask(
            params.text_document.uri,
            references,
            [],
            params.position,
            declaration=params.context.include_declaration,
        )

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def outlined(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        return await session.ask(params.text_document.uri, symbols, [])

    @server.feature(lsp.TEXT_DOCUMENT_FOLDING_RANGE)
    async def folded(params: lsp.FoldingRangeParams) -> list[lsp.FoldingRange]:
        return await session.ask(params.text_document.uri, folds, [])

    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    async def hinted(params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        return await session.ask(params.text_document.uri, hints, [], params.range)


def _edits(server: HawqServer) -> None:
    session = server.session

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    async def laid_out(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        return await session.ask(params.text_document.uri, formatted, [])

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions(
            code_action_kinds=[lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.SourceFixAll]
        ),
    )
    async def mended(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return await session.ask(
            params.text_document.uri, _actions, [], params.range, params.context.only
        )

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    async def prepared(params: lsp.PrepareRenameParams) -> lsp.PrepareRenamePlaceholder | None:
        return await session.ask(params.text_document.uri, _renameable, None, params.position)

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    async def renamed(params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        uri = params.text_document.uri
        return await session.ask(uri, _renamed, None, params.position, params.new_name)


def _actions(
    snapshot: Snapshot, within: lsp.Range, only: Sequence[lsp.CodeActionKind | str] | None
) -> list[lsp.CodeAction]:
    found = dict.fromkeys((*snapshot.diagnostics, *snapshot.proven))
    return actions(snapshot, found, within, only)


def _renameable(snapshot: Snapshot, position: lsp.Position) -> lsp.PrepareRenamePlaceholder:
    try:
        symbol, span = renameable(snapshot, position)
    except RefusedError as refused:
        raise JsonRpcException(str(refused), _REFUSED) from None
    return lsp.PrepareRenamePlaceholder(snapshot.text.range_of(span), symbol.name)


def _renamed(snapshot: Snapshot, position: lsp.Position, new: str) -> lsp.WorkspaceEdit:
    try:
        return lsp.WorkspaceEdit(changes=rename(snapshot, position, new))
    except RefusedError as refused:
        raise JsonRpcException(str(refused), _REFUSED) from None
