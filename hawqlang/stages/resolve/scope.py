"""What a name stands for, and the context in which one file is resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from hawqlang.base import Precision, Span
from hawqlang.ir import syntax
from hawqlang.stages.resolve.amounts import Amount
from hawqlang.stages.resolve.declared import Declared, Kind
from hawqlang.stages.resolve.index import Index, Use
from hawqlang.stages.resolve.report import RejectedError, Sink, choices, error, nearest, unknown

Constant: TypeAlias = Amount | str | bool | Precision
"""What a constant expression gives."""

OPERATOR_WORDS = ("and", "or", "not", "implies", "except", "where", "of", "same", "each")
METRICS = (
    "size",
    "bops",
    "macs",
    "latency",
    "perturbation",
    "switches",
    "peak_memory",
    "average_wbits",
    "average_abits",
    "accuracy",
    "accuracy_drop",
)
SELECTOR_WORDS = (
    "first",
    "last",
    "all",
    "conv",
    "linear",
    "depthwise",
    "pointwise",
    "downsample",
    "residual",
    "shared_input",
)
SELECTOR_FORMS = ("kernel", "channels")
PROPERTIES = ("precision", "wbits", "abits")

ARTICLES: Mapping[Kind, str] = {
    "param": "a param",
    "model": "a model",
    "dataset": "a dataset",
    "target": "a target",
}

_PRECISION = re.compile(r"w([0-9]{1,4})a([0-9]{1,4})")
_ALMOST_PRECISION = re.compile(r"[wW][0-9]+([aA][0-9]*)?|[aA][0-9]+([wW][0-9]*)?")
_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*')
_BLANKS = re.compile(r'("(?:[^"\\\n]|\\.)*")|\s+')


@dataclass(frozen=True, slots=True)
class Context:
    """What resolving a piece of one file needs to know."""

    sink: Sink
    file: str
    """The file as shown to the reader."""
    folder: str
    """The folder that its paths are relative to."""
    lines: tuple[str, ...]
    names: Mapping[str, Declared]
    """The names this file sees: its own and those of everything it imports."""
    elsewhere: Mapping[str, Declared]
    """Every name of the spec, for better messages."""
    params: Mapping[str, Constant | None]
    """The value of every param; ``None`` where it is broken and reported."""
    trust: bool
    fence: Path | None = None
    """The folder that no path may lead out of; ``None`` where only imports are confined."""
    used: set[str] = field(default_factory=set[str])
    """Names that this file has looked up."""
    deferrals: list[tuple[str, Span]] = field(default_factory=list[tuple[str, Span]])
    """Settings of the current declaration whose engine comes later."""
    index: Index = field(default_factory=Index)
    """What is learned on the way; one for all files of a run."""

    def collecting(self) -> Context:
        """Return the same context with an empty list of deferrals."""
        return replace(self, deferrals=[])

    def defer(self, what: str, span: Span) -> None:
        """Note a setting whose engine comes later."""
        self.deferrals.append((what, span))

    def quote(self, first: Span, last: Span | None = None) -> str:
        """Return the source text of a span, comments dropped and white space collapsed."""
        end = last or first
        lines = list(self.lines[first.line - 1 : end.end_line])
        if not lines:
            return ""
        lines[-1] = lines[-1][: end.end_column - 1]
        lines[0] = lines[0][first.column - 1 :]
        bare = _COMMENT.sub(
            lambda match: match.group() if match.group()[0] == '"' else "", "\n".join(lines)
        )
        return _BLANKS.sub(lambda match: match.group(1) or " ", bare).strip()

    def path(self, text: str, span: Span) -> str:
        """Return a path relative to this file's folder as one relative to the working directory."""
        if not text:
            raise error("HQ209", "the path is empty", span)
        if not text.isprintable():
            raise error("HQ209", "the path holds an invisible character", span)
        path = Path(self.folder) / text
        if self.fence is not None and not _inside(path, self.fence):
            help_ = (
                "after following links nothing may lie outside of the folder that `--root` names"
            )
            raise error(
                "HQ226", f"`{self.quote(span)}` leads outside of `--root`", span, help=help_
            )
        return str(path)


def _inside(path: Path, folder: Path) -> bool:
    """Return whether a path, its links followed, lies in a folder; one that cannot be followed does not."""
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):
        return False


def precision_word(text: str, span: Span) -> Precision | None:
    """Return the precision a word names, ``None`` for any other word.

    Raises:
        RejectedError: HQ218 for a word that looks like a precision and is none.
    """
    match = _PRECISION.fullmatch(text)
    if match is None:
        return None
    wbits, abits = int(match[1]), int(match[2])
    if match[1].startswith("0") or match[2].startswith("0"):
        raise error("HQ218", f"`{text}` is not a precision", span, help=_HOW_PRECISION)
    if not (1 <= wbits <= 16 and 1 <= abits <= 16):
        raise error("HQ218", f"`{text}` asks for more than 16 bits", span, help=_HOW_PRECISION)
    return Precision(wbits=wbits, abits=abits)


_HOW_PRECISION = "`w4a8` is 4-bit weights with 8-bit activations, 1 to 16 bits each"


def reserved(text: str) -> str | None:
    """Return why a declaration may not carry this name, ``None`` where it may."""
    if text in OPERATOR_WORDS or text in ("true", "false"):
        return "an operator word"
    if text in METRICS:
        return "a metric"
    if text in SELECTOR_WORDS or text in SELECTOR_FORMS:
        return "a selector"
    if _PRECISION.fullmatch(text) or text == "fp32":
        return "a precision"
    return None


def look_up(name: syntax.Name, ctx: Context, *kinds: Kind) -> Declared:
    """Return what ``name`` declares, one of ``kinds``.

    Raises:
        RejectedError: HQ201 where nothing has that name, HQ204 where another kind of thing has.
    """
    declared = ctx.names.get(name.text)
    if declared is None:
        what = kinds[0] if len(kinds) == 1 else "name"
        raise unknown_name(name, ctx, f"no {what} is called `{name.text}`", (), *kinds)
    ctx.used.add(name.text)
    ctx.index.uses.append(Use(name.span, declared))
    if declared.kind not in kinds:
        wanted = " or ".join(ARTICLES[kind] for kind in kinds)
        message = f"`{name.text}` is {ARTICLES[declared.kind]}, {wanted} is wanted here"
        candidates = [known for known, other in ctx.names.items() if other.kind in kinds]
        help_ = f"declared here: {choices(sorted(candidates))}" if candidates else None
        raise error("HQ204", message, name.span, help=help_)
    return declared


def param_value(name: syntax.Name, ctx: Context) -> Constant:
    """Return the value of a param."""
    look_up(name, ctx, "param")
    value = ctx.params.get(name.text)
    if value is None:
        raise RejectedError
    return value


def unknown_name(
    name: syntax.Name, ctx: Context, message: str, words: tuple[str, ...], *kinds: Kind
) -> RejectedError:
    """Return the error for a name that nothing declares; ``words`` are known beside ``kinds``."""
    kinds = kinds or ("param",)
    if ctx.sink.partial:
        return RejectedError()
    if _ALMOST_PRECISION.fullmatch(name.text):
        return error("HQ218", f"`{name.text}` is not a precision", name.span, help=_HOW_PRECISION)
    key = f"unknown {name.text}"
    other = ctx.elsewhere.get(name.text)
    if other is not None:
        help_ = f"`{other.file}` declares it; `{ctx.file}` does not import that file"
        return error("HQ201", message, name.span, help=help_, key=key)
    candidates = [known for known, declared in ctx.names.items() if declared.kind in kinds]
    candidates = [*words, *sorted(candidates)]
    if words and nearest(name.text, candidates) is None:
        return error("HQ201", message, name.span, key=key)
    rejection = unknown("HQ201", message, name.text, name.span, candidates)
    return RejectedError(rejection.diagnostic, key=key)
