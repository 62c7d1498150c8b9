"""What belongs at a place in a spec: a key, a value, a layer, the name of a model; decided from the words around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hawqlang.stages.parse.place import Place
from hawqlang.stages.parse.tokens import Token
from hawqlang.stages.resolve.keys import KEYS
from hawqlang.stages.resolve.scope import METRICS, PROPERTIES, SELECTOR_FORMS, Kind

What: TypeAlias = Literal[
    "item",
    "key",
    "name",
    "type",
    "reference",
    "word",
    "import",
    "value",
    "argument",
    "literal",
    "unit",
    "expression",
    "metric",
    "selector",
    "property",
    "emit",
    "nothing",
]


@dataclass(frozen=True, slots=True)
class Slot:
    """What may stand somewhere."""

    what: What
    block: str = ""
    """The kind of block: a key of ``KEYS``, ``subject``, ``rates``, or empty at the top of a file."""
    key: str = ""
    """The setting whose value it is."""
    function: str = ""
    """The function whose argument it is."""
    argument: str | int | None = None
    """The argument's name, or its position where none is written."""
    given: frozenset[str] = frozenset()
    """Names of the arguments that are written already."""
    kinds: tuple[Kind, ...] = ()
    """What a reference may name."""
    words: tuple[str, ...] = ()
    """Keywords that may stand here."""
    inside: bool = False
    """Whether an expression speaks of one layer at a time."""


NOTHING = Slot("nothing")


def block_of(head: Sequence[Token]) -> str:
    """Return what kind of block a head opens; empty where nobody knows it."""
    words = [token.text for token in head]
    if words[:1] == ["emit"]:
        return " ".join(words[:2])
    found = words[0] if words else ""
    return found if found in KEYS or found in ("subject", "rates") else ""


def slot_at(place: Place) -> Slot:  # noqa: PLR0911 - guards, then one line a kind of block
    """Return what belongs where a place is."""
    if place.comment:
        return NOTHING
    if place.token is not None and place.token.kind in {"NUMBER", "RATE", "PERCENT"}:
        return NOTHING
    before = place.before
    if (
        before
        and before[-1].kind == "NUMBER"
        and place.token is not None
        and place.token.line == before[-1].line
        and place.token.kind == "NAME"
        and not place.token.text.isdigit()
    ):
        return _behind_number(place)
    if not place.heads:
        return _top(before)
    block = block_of(place.heads[-1])
    if block == "subject":
        return _constraint(place)
    if block == "rates":
        return Slot("key", block) if not before else Slot("literal", block)
    if block not in KEYS:
        return NOTHING
    return _in_block(place, block)


def _behind_number(place: Place) -> Slot:
    """Return what a word behind a number is: an operator where one makes sense, else its unit."""
    return Slot("unit", words=("of", "and", "or", "implies", "except"), block=_block(place))


def _block(place: Place) -> str:
    return block_of(place.heads[-1]) if place.heads else ""


def _top(before: Sequence[Token]) -> Slot:
    words = [token.text for token in before]
    if not words:
        return Slot("item")
    match words[0]:
        case "import":
            return Slot("import") if len(words) == 1 else NOTHING
        case "param":
            return _param(words)
        case "quantize":
            return _head(words)
        case _:
            return Slot("name") if len(words) == 1 else NOTHING


def _param(words: Sequence[str]) -> Slot:
    if len(words) == 1:
        return Slot("name")
    if words[-1] == ":":
        return Slot("type")
    return Slot("literal", key=words[3] if len(words) > 3 else "") if words[-1] == "=" else NOTHING


def _head(words: Sequence[str]) -> Slot:
    """Return what follows in ``quantize MODEL on TARGET with DATASET as NAME``."""
    match words[-1]:
        case "quantize":
            return Slot("reference", kinds=("model",))
        case "on":
            return Slot("reference", kinds=("target",))
        case "with":
            return Slot("reference", kinds=("dataset",))
        case "as":
            return Slot("name")
        case _:
            order = ("on", "with", "as")
            used = [n for n, word in enumerate(order) if word in words]
            left = order[max(used) + 1 :] if used else ("on",)
            return Slot("word", words=left)


# ---- settings ------------------------------------------------------------------------------------


def _in_block(place: Place, block: str) -> Slot:
    before = place.before
    if not before:
        return Slot("key", block)
    words = [token.text for token in before]
    if block == "quantize":
        special = _clause(place, words)
        if special is not None:
            return special
    if len(words) < 2 or words[1] != "=":
        return NOTHING
    return _value(place, block, words[0])


def _clause(  # noqa: PLR0911 - one line a clause
    place: Place, words: Sequence[str]
) -> Slot | None:
    match words[0]:
        case "minimize" | "maximize":
            called = _called(place)
            if called:
                return Slot("selector", "quantize", function=called)
            if words[-1] in ("minimize", "maximize", ","):
                return Slot("metric", "quantize")
            return Slot("word", words=("within",))
        case "subject":
            return Slot("word", words=("to",)) if len(words) == 1 else NOTHING
        case "layer":
            return Slot("selector", "quantize")
        case "emit":
            return Slot("emit", "quantize") if words[-1] in ("emit", ",") else NOTHING
        case _:
            return None


def _value(place: Place, block: str, key: str) -> Slot:
    before = place.before
    call = next(
        (n for n in reversed(place.opened) if _name_before(before, n) is not None),
        None,
    )
    if call is None:
        return Slot("value", block, key)
    function = before[call - 1].text
    commas, given, depth = [call], set[str](), 0
    for n in range(call + 1, len(before)):
        kind = before[n].kind
        depth += (kind in {"LPAR", "LSQB"}) - (kind in {"RPAR", "RSQB"})
        if kind == "COMMA" and depth == 0:
            commas.append(n)
        if kind == "EQUAL" and depth == 0:
            given.add(before[n - 1].text)
    last = before[commas[-1] + 1 :]
    names = frozenset(given)
    if len(last) >= 2 and last[1].kind == "EQUAL":
        return Slot("value", block, key, function, last[0].text, names)
    if last and depth == 0:
        return NOTHING
    what: What = "argument" if depth == 0 else "value"
    return Slot(what, block, key, function, len(commas) - 1, names)


def _name_before(before: Sequence[Token], n: int) -> str | None:
    named = before[n].kind == "LPAR" and n > 0 and before[n - 1].kind == "NAME"
    return before[n - 1].text if named else None


def _called(place: Place) -> str:
    """Return the function around a place that takes layers, empty where none does."""
    for n in reversed(place.opened):
        name = _name_before(place.before, n)
        if name in METRICS or name in PROPERTIES or name == "count":
            return name or ""
    return ""


# ---- constraints ---------------------------------------------------------------------------------


def _constraint(place: Place) -> Slot:  # noqa: PLR0911 - from the special to the general
    words = [token.text for token in place.before]
    if len(words) < 2 or words[1] != ":":
        return Slot("name") if not words else NOTHING
    if _name_of_form(place):
        return NOTHING
    if words[-1] == "same":
        return Slot("property", "subject")
    called = _called(place)
    if called:
        start = next(n for n in reversed(place.opened) if _name_before(place.before, n) == called)
        inner = words[start + 1 :]
        if "where" in inner:
            return Slot("expression", "subject", inside=True)
        return Slot("selector", "subject", function=called, argument=inner.count(","))
    if "across" in words:
        return Slot("selector", "subject")
    if len(words) > 2 and words[2] == "each":
        colon = ":" in words[3:]
        return Slot("expression", "subject", inside=True) if colon else Slot("selector", "subject")
    return Slot("expression", "subject")


def _name_of_form(place: Place) -> bool:
    """Return whether a place is inside ``kernel(…)``."""
    return bool(place.opened) and _name_before(place.before, place.opened[-1]) in SELECTOR_FORMS
