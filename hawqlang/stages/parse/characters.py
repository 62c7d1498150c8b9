"""Characters that may not stand in a spec, and those that stand for something the language writes otherwise."""

from __future__ import annotations

import re
import unicodedata

BIDIRECTIONAL = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Controls of the writing direction: a line with one may read otherwise than it is."""

INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but tab and line feed
    "\u00ad\u034f\u061c\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"
    "]"
)
"""What no editor shows, half of a surrogate pair included."""

WRITTEN: dict[str, str] = {
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "×": "*",
    "·": "*",
    "÷": "/",
    "−": "-",
    "–": "-",
    "—": "-",
    "∧": "and",
    "∨": "or",
    "¬": "not",
    "⇒": "implies",
    "→": "implies",
    "&&": "and",
    "&": "and",
    "||": "or",
    "|": "or",
    "!": "not",
    "\u00a0": " ",
    "，": ",",
    "：": ":",
    "（": "(",
    "）": ")",
    "［": "[",
    "］": "]",
    "｛": "{",
    "｝": "}",
    "＝": "=",
    "％": "%",
    "＋": "+",
}
"""Signs that other languages or editors put where this one has another: sign → what is written here."""


PAIRS: dict[str, str] = {
    "=>": ">=",
    "->": "implies",
    "=<": "<=",
    "<>": "!=",
    ":=": "=",
}
"""Pairs of signs that never stand side by side here, and what is written instead."""


def code_point(character: str) -> str:
    """Return a character's code point and name: ``U+202E RIGHT-TO-LEFT OVERRIDE``."""
    name = unicodedata.name(character, "") or _CONTROLS.get(ord(character), "")
    return f"U+{ord(character):04X} {name}".rstrip()


_CONTROLS = {
    0x00: "NULL",
    0x07: "BELL",
    0x08: "BACKSPACE",
    0x09: "TAB",
    0x0B: "VERTICAL TAB",
    0x0C: "FORM FEED",
    0x0D: "CARRIAGE RETURN",
    0x1B: "ESCAPE",
    0x7F: "DELETE",
    0x85: "NEXT LINE",
}
