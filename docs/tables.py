"""The generated parts of the reference, from the tables that the compiler itself uses.

Each function returns Markdown. ``docs/record.py`` writes it between the markers of a page::

    <!-- generated: NAME ARGUMENT... -->
    <!-- end generated -->

and the diagnostics, one page per group, whole.
"""

from __future__ import annotations

import html
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from fractions import Fraction
from inspect import getdoc
from typing import Any

import typer.main

from hawqlang.cli.app import COMMANDS, make_app
from hawqlang.diagnostics.catalogue import GROUPS, group
from hawqlang.diagnostics.entry import Entry
from hawqlang.ir.literals import quantity_text
from hawqlang.ir.units import UNITS, Dim
from hawqlang.ops import OPS
from hawqlang.stages.import_model.onnx.operators import RULES
from hawqlang.stages.import_model.pt2.aten import ATEN
from hawqlang.stages.import_model.zoo import ZOO
from hawqlang.stages.resolve import vocabulary
from hawqlang.stages.resolve.devices import device, device_names
from hawqlang.stages.resolve.functions import Signature
from hawqlang.stages.resolve.keys import KEYS, Key
from hawqlang.stages.resolve.metrics import ACCURACIES, DIMENSIONS, SUMS

_DIMENSIONS: Mapping[Dim, str] = {
    "ratio": "ratio",
    "size": "size",
    "time": "time",
    "macs": "work in MACs",
    "bops": "work in BOPS",
    "size/s": "bandwidth",
    "macs/s": "rate of work",
}
"""What each dimension that has units is called."""


def generated(words: str) -> str:
    """Return the part that a marker names.

    Raises:
        KeyError: where no part has that name.
    """
    name, *arguments = words.split()
    return PARTS[name](*arguments)


# ---- blocks and keys ---------------------------------------------------------------------------


def keys(*words: str) -> str:
    """Return the table of a block's keys; ``emit tvm`` is a block too."""
    block = " ".join(words)
    rows = [(f"`{name}`", key.takes, _default(key), key.doc) for name, key in KEYS[block].items()]
    return table(("key", "value", "default", "meaning"), rows)


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return f"`{key.default}`" if key.default else "–"


def values(block: str, key: str) -> str:
    """Return the table of what a setting may be: words, or functions with their arguments."""
    words = vocabulary.words_of(block, key)
    if words:
        return table(("value", "meaning"), [(f"`{word}`", doc) for word, doc in words.items()])
    functions = vocabulary.functions_of(block, key)
    rows = [(f"`{form(name, one)}`", _with_arguments(one)) for name, one in functions.items()]
    return table(("value", "meaning"), rows)


def form(name: str, signature: Signature) -> str:
    """Return how a function is written: ``images(folder, labels = …)``."""
    known = (*signature.positional, *signature.named)
    parts = [one if one in signature.required else f"{one} = …" for one in known]
    parts += ["…"] if signature.open else []
    return f"{name}({', '.join(parts)})" if parts else name


def _with_arguments(signature: Signature) -> str:
    lines = [f"`{name}`: {doc}" for name, doc in signature.arguments.items()]
    return "<br>".join((signature.doc, *lines))


def meanings(name: str) -> str:
    """Return a table of the vocabulary: each word with what it means."""
    words = _MEANINGS[name]
    return table((name, "meaning"), [(f"`{word}`", doc) for word, doc in words.items()])


_MEANINGS: Mapping[str, Mapping[str, str]] = {
    "statement": vocabulary.STATEMENTS,
    "clause": vocabulary.CLAUSES,
    "type": vocabulary.TYPE_DOCS,
    "selector": vocabulary.SELECTOR_DOCS,
    "property": vocabulary.PROPERTY_DOCS,
    "operator": vocabulary.OPERATOR_DOCS,
    "emit": vocabulary.EMIT_DOCS,
}


def metrics() -> str:
    """Return the table of metrics: dimension, whether one takes a baseline and a selector."""
    rows = [
        (
            f"`{name}`",
            _DIMENSIONS.get(DIMENSIONS[name], "number"),
            "no" if name in ACCURACIES else "yes",
            "yes" if name in SUMS else "no",
            doc,
        )
        for name, doc in vocabulary.METRIC_DOCS.items()
    ]
    return table(("metric", "dimension", "baseline", "selector", "meaning"), rows)


def units() -> str:
    """Return the table of units by dimension, with the value of each in the base unit."""
    rows: list[tuple[str, ...]] = []
    for dim, words in _DIMENSIONS.items():
        named = [(unit, factor) for unit, (of, factor) in UNITS.items() if of == dim]
        base = next((unit for unit, factor in named if factor == 1), "")
        rows.append((words, ", ".join(_unit(unit, factor, base) for unit, factor in named)))
    return table(("dimension", "units"), rows)


def _unit(unit: str, factor: Fraction, base: str) -> str:
    if factor == 1:
        return f"`{unit}`"
    value = f"1/{factor.denominator:,}" if factor < 1 else f"{factor.numerator:,}"
    return f"`{unit}` = {f'{value} {base}'.strip()}"


def devices() -> str:
    """Return the table of the device catalogue."""
    rows = [
        (
            f"`{one.name}`",
            "<br>".join(f"`{p}` {quantity_text(rate, 'macs/s')}" for p, rate in one.rates),
            quantity_text(one.bandwidth, "size/s"),
            "–" if one.cache is None else quantity_text(one.cache, "size"),
            quantity_text(one.launch, "time") if one.launch else "–",
            f"`{one.arch}`" if one.arch else "–",
        )
        for one in map(device, device_names())
    ]
    return table(("device", "native precisions", "bandwidth", "cache", "launch", "arch"), rows)


def integer_operators() -> str:
    """Return the table of the operators of integer programs."""
    alone = Counter(op.__module__ for op in OPS)
    rows = [
        (
            f"`{op.model_fields['op'].default}`",
            _summary(sys.modules[op.__module__] if alone[op.__module__] == 1 else op),
        )
        for op in OPS
    ]
    return table(("operator", "meaning"), rows)


def aten_operators() -> str:
    """Return the names of the operators that archives of ``torch.export`` may hold."""
    return ", ".join(f"`{name}`" for name in sorted(ATEN) if not name.startswith("_")) + ".\n"


def onnx_operators() -> str:
    """Return the table of ONNX operators that are read, those with one rule in one row."""
    names: dict[str, list[str]] = {}
    for name, rule in sorted(RULES.items()):
        names.setdefault(_summary(rule), []).append(f"`{name}`")
    found = [(", ".join(same), words) for words, same in names.items()]
    return table(("ONNX", "what the importer does"), found)


def _summary(thing: object) -> str:
    """Return the first sentence of a docstring, as Markdown."""
    return (getdoc(thing) or "").split("\n\n")[0].replace("``", "`")


def networks() -> str:
    """Return the table of the networks that ``zoo("name", …)`` has, with their arguments."""
    rows = [
        (f"`{one.name}`", ", ".join(f"`{a.name} = {float(a.default):g}`" for a in one.arguments))
        for one in ZOO.values()
    ]
    return table(("network", "arguments and their defaults"), rows)


# ---- commands ----------------------------------------------------------------------------------


def commands() -> str:
    """Return a section per command: usage, description, arguments and options."""
    program: Any = typer.main.get_command(make_app())
    return "\n".join(_command(name, program.commands[name]) for name in COMMANDS)


def _command(name: str, command: Any) -> str:
    arguments = [_argument(p) for p in command.params if not p.opts[0].startswith("-")]
    usage = " ".join(("hawqc", name, "[OPTIONS]", *arguments))
    parts = [f"### hawqc {name}\n", f"```text\n{usage}\n```\n"]
    parts.append(_prose(command.help) + "\n")
    rows = [_parameter(p) for p in command.params if not getattr(p, "hidden", False)]
    if rows:
        parts.append(table(("argument or option", "default", "meaning"), rows))
    return "\n".join(parts)


def _argument(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper())
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _parameter(parameter: Any) -> tuple[str, str, str]:
    if not parameter.opts[0].startswith("-"):
        return f"`{_argument(parameter)}`", _shown(parameter), parameter.help or ""
    written = ", ".join((*parameter.opts, *parameter.secondary_opts))
    choice = _choices(parameter)
    value = "" if parameter.is_flag else f" {choice or parameter.metavar or parameter.name.upper()}"
    again = "; may be repeated" if parameter.multiple else ""
    return f"`{written}{value}`", _shown(parameter), f"{(parameter.help or '').rstrip('.')}{again}."


def _choices(parameter: Any) -> str:
    annotation = parameter.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(str(member.value) for member in annotation)
    return ""


def _shown(parameter: Any) -> str:
    default = parameter.default
    if default is None or isinstance(default, bool) or default in ("", ()):
        return "required" if parameter.required else "–"
    if isinstance(default, Enum):
        default = default.value
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _prose(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n")).strip()


# ---- diagnostics -------------------------------------------------------------------------------


def codes() -> str:
    """Return the index of all codes, group by group."""
    parts: list[str] = []
    for digit, (what, _) in GROUPS.items():
        rows = [
            (f"[{one.code}]({page_name(digit)}#{one.code.lower()})", cell(one.title))
            for one in group(digit).values()
        ]
        parts.append(f"## HQ{digit}xx: {what}\n\n{table(('code', 'diagnostic'), rows)}")
    return "\n".join(parts)


def page_name(digit: str) -> str:
    """Return the file of a group's page."""
    return f"hq{digit}xx.md"


def diagnostics_page(digit: str) -> str:
    """Return the page of a group of codes: cause, an example that has it, the same mended."""
    what, _ = GROUPS[digit]
    shown = [_entry(one) for one in sorted(group(digit).values(), key=lambda one: one.code)]
    return f"# HQ{digit}xx: {what}\n\n" + "\n".join(shown)


def _entry(one: Entry) -> str:
    parts = [f"## {one.code}\n", f"**{_sentence(one.title)}.** {_prose(one.cause)}\n"]
    for title, text in (("Wrong", one.example), ("Mended", one.mended)):
        if text.strip():
            parts.append(f"{title}:\n\n{_fenced(text)}")
    return "\n".join(parts)


def _fenced(text: str) -> str:
    body = text.strip("\n")
    language = "hawq" if body.lstrip().startswith("hawq 1") else "text"
    marker = "<!-- catalogue -->\n" if language == "hawq" else ""
    return f"{marker}```{language}\n{body}\n```\n"


def _sentence(title: str) -> str:
    return title[:1].upper() + title[1:]


# ---- Markdown ----------------------------------------------------------------------------------


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(cell(text) for text in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Return text that a table cell can hold; renderers disagree on bars in code spans."""
    return _BARRED.sub(_as_html, text).replace("|", "\\|").replace("\n", " ").strip()


_BARRED = re.compile(r"`([^`]*\|[^`]*)`")


def _as_html(match: re.Match[str]) -> str:
    return f"<code>{html.escape(match[1]).replace('|', '&#124;')}</code>"


PARTS: Mapping[str, Callable[..., str]] = {
    "keys": keys,
    "values": values,
    "meanings": meanings,
    "metrics": metrics,
    "units": units,
    "devices": devices,
    "networks": networks,
    "aten_operators": aten_operators,
    "integer_operators": integer_operators,
    "onnx_operators": onnx_operators,
    "commands": commands,
    "codes": codes,
}
"""Every part that a marker can name."""
