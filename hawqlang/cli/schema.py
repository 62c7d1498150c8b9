"""`hawqc schema`: the JSON Schemas of what the program prints as JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from hawqlang.cli.common import guarded, print_json


class Subject(StrEnum):
    """What a schema is of."""

    spec = "spec"
    check = "check"


@guarded
def schema(
    of: Annotated[
        Subject,
        typer.Argument(
            metavar="[spec|check]",
            help="The resolved spec (`show --format json`), or the findings (`check --format json`).",
        ),
    ] = Subject.spec,
) -> None:
    """Print the JSON Schema (draft 2020-12) of the resolved spec, or of the findings of a check."""
    print_json(_spec() if of is Subject.spec else _check())


def _spec() -> dict[str, Any]:
    from hawqlang.diagnostics.schema import DIALECT
    from hawqlang.ir.spec import Spec

    return {"$schema": DIALECT, **Spec.model_json_schema(mode="serialization")}


def _check() -> dict[str, Any]:
    from hawqlang.diagnostics.schema import check_schema

    return check_schema()
