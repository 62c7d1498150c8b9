"""Runs what ``python("package.module:factory", …)`` names; only ever called where the user trusts the spec.

Modules are looked for beside the file that names them first. Whatever goes wrong inside is a diagnostic with the line
of the user's own code; its text is not quoted. What the code prints goes to standard error, and modules of the
project are forgotten afterwards, so that the next call sees the files as they are then.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import PythonCall

LONGEST = 200
"""Characters of an exception's text that a message repeats."""

_OWN = Path(__file__).resolve().parents[1]
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a failure in the user's code is told."""

    code: str
    what: str
    """What was being done."""
    help: str | None = None


CALL_FAILED = Failure("HQ342", "calling {factory}")


def called(call: PythonCall, span: Span, use: Callable[[object], ResultT]) -> ResultT:
    """Return what ``use`` makes of the factory's result while the user's modules can still be imported.

    Args:
        call: The factory and its arguments; numbers come as int where they are whole, else as float.
        span: Where the spec names it.
        use: Gets the result; failures in it are its own to tell.

    Raises:
        HawqError: The factory cannot be found or fails (HQ342).
    """
    module_name, _, attribute = call.factory.partition(":")
    arguments = {name: _plain(value) for name, value in call.arguments}
    with _project(call.folder), contextlib.redirect_stdout(sys.stderr):
        with telling(call.factory, call.folder, span, CALL_FAILED):
            found: object = importlib.import_module(module_name)
            for name in attribute.split("."):
                found = getattr(found, name)
            if not callable(found):
                message = f"{attribute} is not callable"
                raise TypeError(message)
            result: object = found(**arguments)
        return use(result)


@contextlib.contextmanager
def telling(name: str, folder: str, span: Span, failure: Failure) -> Generator[None]:
    """Turn whatever user code raises into a diagnostic that names its line.

    Args:
        name: What the code is called.
        folder: The project's: lines of its files are named.
        span: Where the spec names the code.
        failure: What was being done.
    """
    try:
        yield
    except HawqError:
        raise
    except (Exception, SystemExit) as error:
        place = _place(error, Path(folder))
        what = failure.what.format(factory=f"'{name}'")
        raise HawqError(
            Diagnostic(
                code=failure.code,
                severity="error",
                message=f"{what} fails: {type(error).__name__}{_text(error)}",
                span=span,
                notes=() if place is None else (f"raised at {place}",),
                help=failure.help,
            )
        ) from error


def _plain(value: Fraction | str | bool) -> int | float | str | bool:
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return value


@contextlib.contextmanager
def _project(folder: str) -> Generator[None]:
    """Let modules of a folder be imported first, and forget them afterwards."""
    root = Path(folder).resolve()
    _forget(root)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(root))
        _forget(root)


def _forget(root: Path) -> None:
    """Drop the modules that lie in a folder, those of the compiler and of installed packages apart."""
    for name, module in tuple(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if (
            isinstance(file, str)
            and _is_users(Path(file), root)
            and not name.startswith("hawqlang")
        ):
            del sys.modules[name]


def _is_users(file: Path, root: Path) -> bool:
    path = file.resolve()
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return path.is_relative_to(root) and not path.is_relative_to(_OWN) and not installed


def _place(error: BaseException, folder: Path) -> str | None:
    """Return ``file:line, in function`` of the innermost call in the user's project."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(Path(error.filename), folder)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_users(Path(frame.filename), folder.resolve())]
    if not own:
        return None
    return f"{_shown(Path(own[-1].filename), folder)}:{own[-1].lineno}, in {own[-1].name}"


def _shown(file: Path, folder: Path) -> str:
    path, root = file.resolve(), folder.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _text(error: BaseException) -> str:
    """Return an exception's first line, as it may stand in a message."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    shown = "".join(c if c.isprintable() else "?" for c in first)
    return f": {shown[:LONGEST]}{'…' if len(shown) > LONGEST else ''}" if shown else ""
