"""The JSON Schema of what `check --format json` prints: version 1 of the format.

Keys stay once they exist and keep their types; new ones may come, so readers ignore what they do not know.
"""

from __future__ import annotations

from typing import Any

from hawqlang.diagnostics.formats import FORMAT_VERSION, Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def check_schema() -> Json:
    """Return the schema of the object that `check --format json` prints."""
    return {
        "$schema": DIALECT,
        "title": "Findings of hawqc check",
        **_object(
            {
                "format_version": {"const": FORMAT_VERSION},
                "diagnostics": _array({"$ref": "#/$defs/diagnostic"}),
            },
            optional={"fixed": _array({"$ref": "#/$defs/diagnostic"})},
        ),
        "$defs": {"diagnostic": _diagnostic(), "fix": _fix(), "label": _label()},
    }


def _diagnostic() -> Json:
    return _object(
        {
            "code": {"type": "string", "pattern": "^HQ[1-9][0-9]{2}$"},
            "severity": {"enum": ["error", "warning", "note"]},
            "message": {"type": "string", "minLength": 1},
            **_place(),
            "labels": _array({"$ref": "#/$defs/label"}),
            "notes": _array({"type": "string"}),
            "help": _array({"type": "string"}),
            "fix": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/fix"}]},
        }
    )


def _label() -> Json:
    return _object({"message": {"type": "string"}, **_place()})


def _fix() -> Json:
    return _object(
        {
            "replacement": {"type": "string"},
            "sure": {
                "type": "boolean",
                "description": "applied by --fix; otherwise by --fix --guess only",
            },
            **_place(),
            "also": _array(_object(_place())) | {"description": "places that get the same text"},
        }
    )


def _place() -> dict[str, Any]:
    number = {"type": ["integer", "null"], "minimum": 0}
    described = {
        "line": "counted from 1; 0 where a whole file is meant",
        "column": "counted from 1, in code points",
        "end_line": "the line of the last character",
        "end_column": "the column behind the last character",
    }
    return {
        "file": {"type": ["string", "null"], "description": "as given on the command line"},
        **{key: {**number, "description": text} for key, text in described.items()},
    }


def _array(items: Json) -> Json:
    return {"type": "array", "items": items}


def _object(required: Json, optional: Json | None = None) -> Json:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }
