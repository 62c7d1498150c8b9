"""Diagnostics for machines."""

from __future__ import annotations

import json

from hawqlang.base import NOWHERE, Span
from hawqlang.diagnostics.catalogue import entry
from hawqlang.diagnostics.formats import render
from hawqlang.diagnostics.model import Diagnostic, Fix, Label
from hawqlang.stages.parse import parse_text

SPAN = Span(file="a b/ä.hawq", line=2, column=3, end_line=2, end_column=7)
LATER = Span(file="a b/ä.hawq", line=4, column=1, end_line=5, end_column=2)
FULL = Diagnostic(
    code="HQ130",
    severity="error",
    message="100% wrong",
    span=SPAN,
    label="here",
    labels=(Label(span=LATER, message="and there"), Label(span=NOWHERE, message="nowhere")),
    notes=("a note",),
    help="do this",
    fix=Fix(span=SPAN, replacement="model"),
)
BARE = Diagnostic(code="HQ100", severity="warning", message="cannot open x")
PLACE = {"file": "a b/ä.hawq", "line": 2, "column": 3, "end_line": 2, "end_column": 7}
NO_PLACE = dict.fromkeys(PLACE)


def test_json_has_the_stable_keys_and_nothing_else() -> None:
    whole = json.loads(render([FULL, BARE], {}, "json"))

    assert whole == {
        "format_version": 1,
        "diagnostics": [
            {
                "code": "HQ130",
                "severity": "error",
                "message": "100% wrong",
                **PLACE,
                "labels": [
                    {"message": "here", **PLACE},
                    {
                        "message": "and there",
                        "file": "a b/ä.hawq",
                        "line": 4,
                        "column": 1,
                        "end_line": 5,
                        "end_column": 2,
                    },
                    {"message": "nowhere", **NO_PLACE},
                ],
                "notes": ["a note"],
                "help": ["do this"],
                "fix": {"replacement": "model", "sure": True, **PLACE, "also": []},
            },
            {
                "code": "HQ100",
                "severity": "warning",
                "message": "cannot open x",
                **NO_PLACE,
                "labels": [],
                "notes": [],
                "help": [],
                "fix": None,
            },
        ],
    }


def test_json_of_nothing_is_an_empty_list() -> None:
    assert json.loads(render([], {}, "json"))["diagnostics"] == []


def test_sarif_names_rules_places_and_fixes() -> None:
    whole = json.loads(render([FULL, BARE], {}, "sarif"))
    (run,) = whole["runs"]
    full, bare = run["results"]
    region = {"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 7}
    uri = "a%20b/%C3%A4.hawq"
    known = entry("HQ130")

    assert whole["version"] == "2.1.0"
    assert run["columnKind"] == "unicodeCodePoints"
    rules = run["tool"]["driver"]["rules"]
    assert known is not None
    assert [rule["id"] for rule in rules] == ["HQ100", "HQ130"]
    assert rules[1]["shortDescription"] == {"text": known.title}
    assert (full["ruleId"], full["ruleIndex"], full["level"]) == ("HQ130", 1, "error")
    assert full["message"]["text"] == "100% wrong\nhere\ndo this\na note"
    assert full["locations"] == [
        {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
    ]
    assert [r["message"]["text"] for r in full["relatedLocations"]] == ["and there"]
    (change,) = full["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [
        {"deletedRegion": region, "insertedContent": {"text": "model"}}
    ]
    assert bare["level"] == "warning"
    assert "locations" not in bare


def test_github_annotations_are_one_escaped_line_each() -> None:
    several = Diagnostic(code="HQ214", severity="note", message="a\nb", span=LATER)

    assert render([FULL, BARE, several], {}, "github") == (
        "::error file=a b/ä.hawq,line=2,endLine=2,col=3,endColumn=6,title=HQ130"
        "::100%25 wrong%0Ahere%0Ado this%0Aa note\n"
        "::warning title=HQ100::cannot open x\n"
        "::notice file=a b/ä.hawq,line=4,endLine=5,title=HQ214::a b\n"
    )


def test_a_name_cannot_break_out_of_an_annotation() -> None:
    span = SPAN.replace(file="a,b:c%\n::error::x")

    line = render([Diagnostic(code="HQ1", severity="error", message="m", span=span)], {}, "github")

    assert line.startswith("::error file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3Ax,line=2")
    assert line.count("\n") == 1


def test_text_is_the_default_and_quotes_its_sources() -> None:
    source = "hawq 1\nmodle m { }\n"
    _, diagnostics = parse_text(source, "a.hawq")

    assert "2 | modle m { }\n  | ^^^^^\n" in render(diagnostics, {"a.hawq": source})
