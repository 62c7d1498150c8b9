"""Sensitivities that are given instead of measured: a JSON file, or the columns of a layer table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hawqlang.base import Precision, Span
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.sensitivity import LayerSensitivity, SensitivityTable

Candidates = Mapping[str, tuple[Precision, ...]]
Values = Mapping[str, Mapping[str, float]]
"""By layer, then by precision as a spec writes it."""

LARGEST_FILE = 64 * 2**20
NAMED = 5
"""Layers that a message lists before it counts."""


def read_sensitivities(path: Path, candidates: Candidates, span: Span | None) -> SensitivityTable:
    """Return the sensitivities of a file ``{"layer": {"w4a4": 0.5, ...}, ...}``.

    Nothing of the file is quoted in a diagnostic.

    Args:
        path: The file.
        candidates: What every layer may take, in execution order; one candidate needs no value.
        span: Where the spec names the file.

    Raises:
        HawqError: The file cannot be read or has another form (HQ423), lacks a value (HQ424),
            knows layers that the model does not have (HQ425), or holds a value that is negative
            or not finite (HQ426).
    """
    values = _read(path, span)
    strangers = len(set(values) - set(candidates))
    if strangers:
        raise HawqError(
            Diagnostic(
                code="HQ425",
                severity="error",
                message=f"the sensitivity file rates {strangers} of its {len(values)} layers in "
                "vain: the model does not have them",
                span=span,
                help="names are module paths, as `hawqc plan` shows them",
            )
        )
    return table_from_values(f'file("{path.name}")', values, candidates, span)


def sensitivities_of_table(
    table: LayerTable, candidates: Candidates, span: Span | None
) -> SensitivityTable:
    """Return the sensitivities that a layer table brings; errors as :func:`read_sensitivities`."""
    values = {layer.name: {str(p): v for p, v in layer.sensitivity} for layer in table.layers}
    return table_from_values("layer table", values, candidates, span)


def table_from_values(
    method: str, values: Values, candidates: Candidates, span: Span | None
) -> SensitivityTable:
    """Return given values as a table; every layer with a choice must have all of its candidates."""
    missing: list[str] = []
    bad: list[str] = []
    rows: list[LayerSensitivity] = []
    for layer, choices in candidates.items():
        given = values.get(layer, {})
        lacking = [p for p in choices if str(p) not in given and len(choices) > 1]
        missing += [f"'{layer}' at {p}" for p in lacking]
        row = tuple((p, given.get(str(p), 0.0)) for p in choices)
        bad += [f"'{layer}' at {p}" for p, v in row if not (math.isfinite(v) and v >= 0)]
        rows.append(LayerSensitivity(layer=layer, values=row))
    found = [
        Diagnostic(
            code=code, severity="error", message=f"{what} {_listed(places)}", span=span, help=advice
        )
        for code, what, places, advice in (
            ("HQ424", "no sensitivity is given for", missing, "give one for every candidate"),
            ("HQ426", "the sensitivity is negative or not finite for", bad, "0 is the least"),
        )
        if places
    ]
    if found:
        raise HawqError(*found)
    return SensitivityTable(method=method, layers=tuple(rows))


def _listed(places: list[str]) -> str:
    more = len(places) - NAMED
    return ", ".join(places[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _read(path: Path, span: Span | None) -> Values:
    """Return what the file holds, checked to be numbers by layer and precision."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise HawqError(_malformed("is larger than 64 MiB", span))
        data = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise HawqError(_malformed(f"cannot be read: {error.strerror}", span)) from error
    except (ValueError, RecursionError) as error:
        raise HawqError(_malformed("is not JSON", span)) from error
    if not isinstance(data, dict):
        raise HawqError(_malformed("is not an object of layers", span))
    found: dict[str, dict[str, float]] = {}
    for name, row in cast("dict[str, Any]", data).items():
        numbers = cast("dict[str, Any]", row) if isinstance(row, dict) else {"": None}
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in numbers.values()):
            raise HawqError(_malformed("does not hold numbers by layer and precision", span))
        found[name] = {key: _float(v) for key, v in numbers.items()}
    return found


def _float(value: Any) -> float:
    """Return a number of the file; infinity for an integer beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _malformed(what: str, span: Span | None) -> Diagnostic:
    return Diagnostic(
        code="HQ423",
        severity="error",
        message=f"the sensitivity file {what}",
        span=span,
        help='it looks like this: {"layer1.0.conv1": {"w4a4": 0.5, "w8a8": 0.01}}',
    )
