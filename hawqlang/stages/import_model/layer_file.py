"""Reads a layer table, which stands instead of a network (``layers(path)``).

``{"format_version": 1, "layers": [{"name", "kind", "params", "macs", "sensitivity": {"w4a4": …},
"latency_us": {"w4a4": …}}], "ties": [["name", "name"], …]}`` in execution order; ``kind``, ``latency_us`` and ``ties``
may be left out. Messages say where in the file something is wrong without quoting the file.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from hawqlang.base import NOWHERE, Precision, Span
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.layers import Layer, LayerKind, LayerTable

LARGEST_BYTES = 16 * 2**20
SHOWN = 10
"""Faults reported before the rest is only counted."""

_PRECISION = re.compile(r"w([1-9]|1[0-6])a([1-9]|1[0-6])")
_KINDS: tuple[str, ...] = get_args(LayerKind)
_KEYS = {"format_version", "layers", "ties"}
_LAYER_KEYS = {"name", "kind", "params", "macs", "sensitivity", "latency_us"}
_NEEDED = ("name", "params", "macs", "sensitivity")

Json = dict[str, object]


def read_layer_table(path: str | Path, span: Span = NOWHERE) -> LayerTable:
    """Return the layer table in a file; every fault in it is reported at ``span``, where the spec names it."""
    reader = _Reader(str(path), span)
    table = reader.table(_load(Path(path), span))
    if reader.faults:
        raise HawqError(*reader.diagnostics())
    return table


def _load(path: Path, span: Span) -> object:
    if not path.exists():
        raise HawqError(_error("HQ301", f"there is no layer table '{path}'", span))
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            raise HawqError(_error("HQ330", f"'{path}' is no layer table", span))
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise HawqError(_error("HQ330", f"'{path}' is not valid JSON", span)) from error
    except OSError as error:
        message = f"cannot read '{path}': {error.strerror}"
        raise HawqError(_error("HQ330", message, span)) from error


def _unique(pairs: list[tuple[str, object]]) -> Json:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


class _Reader:
    """Collects the faults of one file."""

    def __init__(self, path: str, span: Span) -> None:
        self._path = path
        self._span = span
        self.faults: list[str] = []

    def diagnostics(self) -> list[Diagnostic]:
        """Return the first faults, and how many more there are."""
        shown = [
            _error("HQ331", f"layer table '{self._path}': {fault}", self._span)
            for fault in self.faults[:SHOWN]
        ]
        rest = len(self.faults) - SHOWN
        if rest > 0:
            message = f"layer table '{self._path}': {rest} more faults"
            shown.append(_error("HQ331", message, self._span))
        return shown

    def table(self, content: object) -> LayerTable:
        """Return the table in a file's content."""
        top = self._object(content, "the file", _KEYS, ("format_version", "layers"))
        if top.get("format_version", 1) != 1 or isinstance(top.get("format_version"), bool):
            self.faults.append("format_version is not 1")
        entries = self._list(top.get("layers", []), "layers")
        if not entries and "layers" in top:
            self.faults.append("layers is empty")
        layers = [self._layer(entry, f"layers[{i}]") for i, entry in enumerate(entries)]
        first: dict[str, int] = {}
        for i, layer in enumerate(layers):
            if layer.name and first.setdefault(layer.name, i) != i:
                self.faults.append(f"layers[{first[layer.name]}] and layers[{i}] have one name")
        ties = self._ties(top.get("ties", []), first)
        return LayerTable(layers=tuple(layers), residual=ties, shared_input=ties, from_file=True)

    def _layer(self, content: object, where: str) -> Layer:
        entry = self._object(content, where, _LAYER_KEYS, _NEEDED)
        kind = entry.get("kind", "other")
        if kind not in _KINDS:
            self.faults.append(f"{where}.kind is none of {', '.join(_KINDS)}")
            kind = "other"
        return Layer(
            name=self._name(entry.get("name", "-"), f"{where}.name"),
            kind=cast("LayerKind", kind),
            params=self._count(entry.get("params", 1), f"{where}.params"),
            macs=self._count(entry.get("macs", 1), f"{where}.macs"),
            sensitivity=self._numbers(entry.get("sensitivity", {}), f"{where}.sensitivity"),
            latency_us=self._numbers(entry.get("latency_us", {}), f"{where}.latency_us"),
        )

    def _ties(self, content: object, known: dict[str, int]) -> tuple[tuple[str, ...], ...]:
        groups: list[tuple[str, ...]] = []
        for i, entry in enumerate(self._list(content, "ties")):
            names = self._list(entry, f"ties[{i}]")
            group = tuple(name for name in names if isinstance(name, str) and name in known)
            if len(group) != len(names):
                self.faults.append(f"ties[{i}] names something that is no layer of the table")
            elif len(set(group)) < 2:
                self.faults.append(f"ties[{i}] ties fewer than two layers")
            groups.append(group)
        return tuple(groups)

    def _object(self, content: object, where: str, known: set[str], needed: Sequence[str]) -> Json:
        if not isinstance(content, dict):
            self.faults.append(f"{where} is not an object")
            return {}
        entry = cast("Json", content)
        self.faults += [f"{where} has no {key}" for key in needed if key not in entry]
        unknown = len(set(entry) - known)
        if unknown:
            listed = ", ".join(sorted(known))
            self.faults.append(f"{where} has {unknown} unknown keys; it may have {listed}")
        return entry

    def _list(self, content: object, where: str) -> list[object]:
        if isinstance(content, list):
            return cast("list[object]", content)
        self.faults.append(f"{where} is not a list")
        return []

    def _name(self, content: object, where: str) -> str:
        if isinstance(content, str) and content and content.isprintable():
            return content
        self.faults.append(f"{where} is not a name")
        return ""

    def _count(self, content: object, where: str) -> int:
        if isinstance(content, int) and not isinstance(content, bool) and 0 < content < 2**63:
            return content
        self.faults.append(f"{where} is not a whole number above 0")
        return 1

    def _numbers(self, content: object, where: str) -> tuple[tuple[Precision, float], ...]:
        """Return numbers by precision."""
        if not isinstance(content, dict):
            self.faults.append(f"{where} is not an object")
            return ()
        numbers: list[tuple[Precision, float]] = []
        for key, value in cast("Json", content).items():
            match = _PRECISION.fullmatch(key)
            if match is None:
                self.faults.append(f"{where} has a key that is no precision such as w4a8")
            elif isinstance(value, bool) or not isinstance(value, int | float):
                self.faults.append(f"{where}.{key} is not a number")
            elif not 0 <= value <= sys.float_info.max:
                self.faults.append(f"{where}.{key} is negative or not finite")
            else:
                precision = Precision(wbits=int(match[1]), abits=int(match[2]))
                numbers.append((precision, float(value)))
        return tuple(numbers)


def _error(code: str, message: str, span: Span) -> Diagnostic:
    return Diagnostic(
        code=code,
        severity="error",
        message=message,
        span=None if span == NOWHERE else span,
    )
