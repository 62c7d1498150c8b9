"""One entry of the diagnostics catalogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A diagnostic at length, as ``hawqc explain CODE`` prints it."""

    code: str
    title: str
    """The message in general form: "unknown key"."""
    cause: str
    """Why it happens and why it is refused, in one or two paragraphs."""
    example: str
    """A spec, or the part of one, that triggers it."""
    mended: str
    """The same, mended."""
