"""Diagnostics for machines: JSON objects, SARIF 2.1.0 and GitHub annotations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from hawqlang.base import NOWHERE, Span
from hawqlang.diagnostics.catalogue import entry
from hawqlang.diagnostics.model import Diagnostic, Fix, Severity
from hawqlang.diagnostics.render import printable, render_text

FORMAT_VERSION = 1

Format: TypeAlias = Literal["text", "json", "sarif", "github"]
Json: TypeAlias = dict[str, Any]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB: Mapping[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}


def render(
    diagnostics: Iterable[Diagnostic],
    sources: Mapping[str, str],
    format_: Format = "text",
    *,
    color: bool = False,
    fixed: Sequence[Diagnostic] | None = None,
) -> str:
    """Return diagnostics in one of the formats of ``--format``, with a newline at the end.

    Args:
        diagnostics: What was found.
        sources: Text of every file that may be quoted, by the name that spans give it.
        format_: The format.
        color: Whether to use the colours of a terminal.
        fixed: What was mended, for JSON; ``None`` where nothing was to be.
    """
    if format_ == "text":
        return render_text(diagnostics, sources, color=color)
    if format_ == "json":
        return _json(tuple(diagnostics), fixed)
    return _FORMATS[format_](tuple(diagnostics))


def to_object(diagnostic: Diagnostic) -> Json:
    """Return the JSON object of a diagnostic; a place it does not have is ``null``."""
    fix = diagnostic.fix
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "labels": [
            {"message": message, **_place(span)}
            for span, message in (
                (diagnostic.span, diagnostic.label),
                *((label.span, label.message) for label in diagnostic.labels),
            )
            if message
        ],
        "notes": list(diagnostic.notes),
        "help": [] if diagnostic.help is None else [diagnostic.help],
        "fix": None if fix is None else _fix(fix),
    }


def _fix(fix: Fix) -> Json:
    return {
        "replacement": fix.replacement,
        "sure": fix.sure,
        **_place(fix.span),
        "also": [_place(span) for span in fix.also],
    }


def _place(span: Span | None) -> Json:
    keys = ("file", "line", "column", "end_line", "end_column")
    if span is None or span == NOWHERE:
        return dict.fromkeys(keys)
    return {key: getattr(span, key) for key in keys}


def _json(diagnostics: tuple[Diagnostic, ...], fixed: Sequence[Diagnostic] | None) -> str:
    whole: Json = {
        "format_version": FORMAT_VERSION,
        "diagnostics": [to_object(diagnostic) for diagnostic in diagnostics],
    }
    if fixed is not None:
        whole["fixed"] = [to_object(diagnostic) for diagnostic in fixed]
    return json.dumps(whole, indent=2) + "\n"


# ---- SARIF ---------------------------------------------------------------------------------------


def _sarif(diagnostics: tuple[Diagnostic, ...]) -> str:
    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    run = {
        "tool": {"driver": {"name": "hawqc", "rules": [_rule(code) for code in codes]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, codes) for diagnostic in diagnostics],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str) -> Json:
    known = entry(code)
    if known is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": known.title},
        "fullDescription": {"text": known.cause},
    }


def _result(diagnostic: Diagnostic, codes: list[str]) -> Json:
    parts = (diagnostic.message, diagnostic.label, diagnostic.help, *diagnostic.notes)
    result: Json = {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": diagnostic.severity,
        "message": {"text": "\n".join(part for part in parts if part)},
    }
    if diagnostic.span is not None and diagnostic.span != NOWHERE:
        result["locations"] = [_location(diagnostic.span)]
    related = [label for label in diagnostic.labels if label.span != NOWHERE]
    if related:
        result["relatedLocations"] = [
            {"id": number, "message": {"text": label.message}, **_location(label.span)}
            for number, label in enumerate(related)
        ]
    if diagnostic.fix is not None:
        result["fixes"] = [_sarif_fix(diagnostic.fix)]
    return result


def _sarif_fix(fix: Fix) -> Json:
    changes: dict[str, list[Json]] = {}
    for span in fix.spans():
        edit = {
            "deletedRegion": _region(span),
            "insertedContent": {"text": fix.replacement},
        }
        changes.setdefault(_artifact(span)["uri"], []).append(edit)
    return {
        "artifactChanges": [
            {"artifactLocation": {"uri": uri}, "replacements": edits}
            for uri, edits in changes.items()
        ]
    }


def _location(span: Span) -> Json:
    place: Json = {"artifactLocation": _artifact(span)}
    if span.line > 0:
        place["region"] = _region(span)
    return {"physicalLocation": place}


def _artifact(span: Span) -> Json:
    return {"uri": quote(span.file.replace("\\", "/"), errors="replace")}


def _region(span: Span) -> Json:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


# ---- GitHub --------------------------------------------------------------------------------------


def _github(diagnostics: tuple[Diagnostic, ...]) -> str:
    return "".join(f"{_annotation(diagnostic)}\n" for diagnostic in diagnostics)


def _annotation(diagnostic: Diagnostic) -> str:
    properties: dict[str, str | int] = {}
    span = diagnostic.span
    if span is not None and span != NOWHERE:
        properties["file"] = span.file
        if span.line > 0:
            properties |= {"line": span.line, "endLine": span.end_line}
        if 0 < span.line == span.end_line:
            properties |= {"col": span.column, "endColumn": max(span.column, span.end_column - 1)}
    properties["title"] = diagnostic.code
    shown = ",".join(f"{key}={_escaped(str(value))}" for key, value in properties.items())
    parts = (diagnostic.message, diagnostic.label, diagnostic.help, *diagnostic.notes)
    text = "\n".join(printable(part) for part in parts if part)
    return f"::{_GITHUB[diagnostic.severity]} {shown}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


_FORMATS: Mapping[str, Callable[[tuple[Diagnostic, ...]], str]] = {
    "sarif": _sarif,
    "github": _github,
}
