"""Diagnostics as the editor shows them, with their fixes as code actions."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types as lsp

from hawqlang.diagnostics import Diagnostic, Fix
from hawqlang.diagnostics.apply import apply_fixes
from hawqlang.lsp.workspace import Snapshot

SOURCE = "hawqc"
_SEVERITIES = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
    "note": lsp.DiagnosticSeverity.Information,
}
_UNNECESSARY = frozenset({"HQ191", "HQ214", "HQ215", "HQ252"})
"""Codes of what may be left out; editors show it faded."""


def by_document(snapshot: Snapshot, found: Iterable[Diagnostic]) -> dict[str, list[lsp.Diagnostic]]:
    """Return diagnostics by the address of the document they belong to; what has no place is the main file's."""
    main = snapshot.uri_of(snapshot.shown) or ""
    result: dict[str, list[lsp.Diagnostic]] = {main: []}
    for one in found:
        shown = snapshot.shown if one.span is None else one.span.file
        uri = snapshot.uri_of(shown)
        if uri is not None:
            result.setdefault(uri, []).append(shown_as(snapshot, one))
    return result


def shown_as(snapshot: Snapshot, found: Diagnostic) -> lsp.Diagnostic:
    """Return a diagnostic as the editor shows it."""
    span = found.span
    where = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
    if span is not None:
        where = snapshot.text_of(span.file).range_of(span)
    parts = [found.message + (f": {found.label}" if found.label else "")]
    parts += [f"help: {found.help}"] if found.help else []
    parts += [f"note: {note}" for note in found.notes]
    related = [
        lsp.DiagnosticRelatedInformation(
            lsp.Location(uri, snapshot.text_of(label.span.file).range_of(label.span)), label.message
        )
        for label in found.labels
        if (uri := snapshot.uri_of(label.span.file)) is not None
    ]
    return lsp.Diagnostic(
        range=where,
        message="\n".join(parts),
        severity=_SEVERITIES[found.severity],
        code=found.code,
        source=SOURCE,
        tags=[lsp.DiagnosticTag.Unnecessary] if found.code in _UNNECESSARY else None,
        related_information=related or None,
    )


def actions(
    snapshot: Snapshot,
    found: Iterable[Diagnostic],
    within: lsp.Range,
    only: Iterable[lsp.CodeActionKind | str] | None,
) -> list[lsp.CodeAction]:
    """Return the fixes of the diagnostics that touch a range, and one action for all that are sure."""
    low, high = snapshot.text.offset(within.start), snapshot.text.offset(within.end)
    fixable = [one for one in found if one.fix is not None and _of_file(one.fix, snapshot)]
    result: list[lsp.CodeAction] = []
    if _wanted(lsp.CodeActionKind.QuickFix, only):
        for one in fixable:
            span = one.span
            if span is None or span.file != snapshot.shown or one.fix is None:
                continue
            start, end = snapshot.offsets(span)
            if start <= high and low <= end:
                result.append(_action(snapshot, one, one.fix))
    sure = [one.fix for one in fixable if one.fix is not None and one.fix.sure]
    if sure and _wanted(lsp.CodeActionKind.SourceFixAll, only):
        result.append(
            lsp.CodeAction(
                "Mend what can be mended for sure",
                kind=lsp.CodeActionKind.SourceFixAll,
                edit=_edit(snapshot, sure),
            )
        )
    return result


def _wanted(kind: lsp.CodeActionKind, only: Iterable[lsp.CodeActionKind | str] | None) -> bool:
    if only is None:
        return kind != lsp.CodeActionKind.SourceFixAll
    return any(kind.value == one or kind.value.startswith(f"{_text(one)}.") for one in only)


def _text(kind: lsp.CodeActionKind | str) -> str:
    return kind.value if isinstance(kind, lsp.CodeActionKind) else kind


def _of_file(fix: Fix, snapshot: Snapshot) -> bool:
    return {span.file for span in fix.spans()} == {snapshot.shown}


def _action(snapshot: Snapshot, found: Diagnostic, fix: Fix) -> lsp.CodeAction:
    return lsp.CodeAction(
        title=_title(fix, found),
        kind=lsp.CodeActionKind.QuickFix,
        diagnostics=[shown_as(snapshot, found)],
        is_preferred=fix.sure,
        edit=_edit(snapshot, [fix]),
    )


def _title(fix: Fix, found: Diagnostic) -> str:
    """Return what a fix does, in a line."""
    shown = fix.replacement.strip()
    if not shown:
        return f"Remove this ({found.code})"
    if "\n" in shown or len(shown) > 40:
        return f"Mend this ({found.code})"
    more = f" in {len(fix.also) + 1} places" if fix.also else ""
    return f"Write `{shown}`{more}"


def _edit(snapshot: Snapshot, fixes: list[Fix]) -> lsp.WorkspaceEdit:
    """Return the edits of some fixes: exactly what `check --fix` writes."""
    text = snapshot.text
    _, applied = apply_fixes(text.body, fixes)
    newline = "\r\n" if text.body.partition("\n")[0].endswith("\r") else "\n"
    edits = [
        lsp.TextEdit(text.range_of(span), fix.replacement.replace("\n", newline))
        for fix in applied
        for span in fix.spans()
    ]
    return edit_of(snapshot, {snapshot.shown: edits})


def edit_of(snapshot: Snapshot, edits: dict[str, list[lsp.TextEdit]]) -> lsp.WorkspaceEdit:
    """Return edits by file as shown, as the editor takes them."""
    changes = {
        uri: some for shown, some in edits.items() if (uri := snapshot.uri_of(shown)) is not None
    }
    return lsp.WorkspaceEdit(changes=changes)
