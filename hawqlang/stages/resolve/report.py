"""How resolving reports: errors leave a unit of the spec and are collected at its border.

A *unit* is whatever can be judged by itself: a setting, an argument, a constraint. A unit that
leans on something already reported leaves with an empty exception, so one mistake is one diagnostic
and never a cascade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic, Fix, Label, suggest

_SHOWN = 8
"""How many known words a message lists."""

_PLACES = 4
"""How many further places of one mistake are pointed out."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RejectedError(Exception):
    """Leaves a unit. Without a diagnostic, its cause is already reported."""

    def __init__(self, diagnostic: Diagnostic | None = None, *, key: str | None = None) -> None:
        super().__init__(diagnostic.message if diagnostic else "already reported")
        self.diagnostic = diagnostic
        self.key = key
        """Errors with the same key are one mistake: later places become labels of the first."""


class Sink:
    """Collects the diagnostics of one run."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}
        self._by_key: dict[str, tuple[Diagnostic, list[Span]]] = {}
        self.errors = 0
        """How many errors and rejections there were, those included that repeat an earlier one."""
        self.partial = False
        """Whether something was left out before resolving: then absence proves nothing."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything collected, in the order it was found."""
        again = {first: _everywhere(first, spans) for first, spans in self._by_key.values()}
        return tuple(again.get(found, found) for found in self._found)

    def add(self, diagnostic: Diagnostic) -> None:
        """Collect one diagnostic; the very same finding twice counts once."""
        self._collect(diagnostic)

    def _collect(self, diagnostic: Diagnostic) -> None:
        self._found.setdefault(diagnostic)
        self.errors += diagnostic.severity == "error"

    def warn(self, diagnostic: Diagnostic) -> None:
        """Collect a warning, unless the spec was read only in part: the rest may answer it."""
        if not self.partial:
            self.add(diagnostic)

    def reject(self, rejection: RejectedError) -> None:
        """Collect what a rejection carries."""
        diagnostic, key = rejection.diagnostic, rejection.key
        if diagnostic is None:
            self.errors += 1
        elif key is None or key not in self._by_key:
            self._collect(diagnostic)
            if key is not None:
                self._by_key[key] = (diagnostic, [])
        else:
            self.errors += 1
            self._point_out(diagnostic, *self._by_key[key])

    def _point_out(self, diagnostic: Diagnostic, first: Diagnostic, spans: list[Span]) -> None:
        """Note a further place of a mistake that is already reported."""
        span = diagnostic.span
        if span is not None and span != first.span and span not in spans:
            spans.append(span)

    def attempt(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """Return what ``function`` returns, or ``None`` after collecting why it gave up."""
        try:
            return function(*args, **kwargs)
        except RejectedError as rejection:
            self.reject(rejection)
            return None

    def all_of(self, results: Iterable[_T | None]) -> tuple[_T, ...]:
        """Return the results of several attempts.

        Raises:
            RejectedError: when one of them failed.
        """
        collected = tuple(results)
        kept = tuple(result for result in collected if result is not None)
        if len(kept) < len(collected):
            raise RejectedError
        return kept


class Recorder(Sink):
    """A sink that another can be told everything of."""

    def __init__(self, *, partial: bool) -> None:
        super().__init__()
        self.partial = partial
        self.told: list[Diagnostic | RejectedError] = []

    def add(self, diagnostic: Diagnostic) -> None:
        """Collect one diagnostic."""
        self.told.append(diagnostic)
        super().add(diagnostic)

    def reject(self, rejection: RejectedError) -> None:
        """Collect what a rejection carries."""
        self.told.append(rejection)
        super().reject(rejection)


def replay(told: Iterable[Diagnostic | RejectedError], sink: Sink) -> None:
    """Tell a sink what a recorder was told."""
    for one in told:
        if isinstance(one, RejectedError):
            sink.reject(one)
        else:
            sink.add(one)


def _everywhere(first: Diagnostic, spans: Sequence[Span]) -> Diagnostic:
    """Return a diagnostic that points to further places of its mistake, and mends them too."""
    if not spans:
        return first
    labels = tuple(Label(span=span, message="and here") for span in spans[:_PLACES])
    fix = first.fix and first.fix.replace(also=tuple(spans))
    return first.replace(labels=labels, fix=fix)


def error(  # noqa: PLR0913 - one keyword for each part of a diagnostic
    code: str,
    message: str,
    span: Span,
    *,
    label: str = "",
    labels: tuple[Label, ...] = (),
    notes: tuple[str, ...] = (),
    help: str | None = None,  # noqa: A002 - the word the diagnostic uses
    fix: Fix | None = None,
    key: str | None = None,
) -> RejectedError:
    """Return an error to raise."""
    diagnostic = Diagnostic(
        code=code,
        severity="error",
        message=_cut(message),
        span=span,
        label=label,
        labels=labels,
        notes=notes,
        help=None if help is None else _cut(help),
        fix=fix,
    )
    return RejectedError(diagnostic, key=key)


_LONG = 400
"""Characters of a message at most; what is quoted in it may be a whole megabyte."""


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]}…{text[-_LONG // 4 :]}"


def warning(
    code: str,
    message: str,
    span: Span,
    *,
    labels: tuple[Label, ...] = (),
    help: str | None = None,  # noqa: A002 - the word the diagnostic uses
    fix: Fix | None = None,
) -> Diagnostic:
    """Return a warning to add to a sink."""
    return Diagnostic(
        code=code,
        severity="warning",
        message=_cut(message),
        span=span,
        labels=labels,
        help=None if help is None else _cut(help),
        fix=fix,
    )


def removal(span: Span, lines: Sequence[str], *, sure: bool = True) -> Fix:
    """Return the fix that takes a statement out of a text: its lines, where it stands alone on them."""
    before = lines[span.line - 1][: span.column - 1]
    after = lines[span.end_line - 1][span.end_column - 1 :].strip()
    alone = not before.strip() and (not after or after.startswith("#"))
    if alone and span.end_line < len(lines):
        span = span.replace(column=1, end_line=span.end_line + 1, end_column=1)
    return Fix(span=span, replacement="", sure=sure)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that ``name`` most likely stands for, if one is close enough."""
    found = suggest.nearest(name, candidates, limit=1)
    return found[0] if found else None


def choices(candidates: Iterable[str]) -> str:
    """Return the candidates as a phrase: ``a``, ``b`` or ``c``, each in backquotes."""
    known = list(candidates)
    if len(known) < 2:
        return _listed(known)
    return f"{_listed(known[:-1])} or `{known[-1]}`"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def unknown(
    code: str, message: str, name: str, span: Span, candidates: Iterable[str]
) -> RejectedError:
    """Return the error for a word that is none of ``candidates``; the nearest one is its fix."""
    known = tuple(candidates)
    guess = nearest(name, known)
    if guess is not None:
        return error(
            code,
            message,
            span,
            help=f"did you mean `{guess}`?",
            fix=Fix(span=span, replacement=guess, sure=False),
        )
    if not known:
        return error(code, message, span)
    shown = choices(known) if len(known) <= _SHOWN else f"{_listed(known[:_SHOWN])} and others"
    return error(code, message, span, help=f"known here: {shown}")


def joined(first: Span, last: Span) -> Span:
    """Return the span from the start of ``first`` to the end of ``last``."""
    return first.replace(end_line=last.end_line, end_column=last.end_column)
