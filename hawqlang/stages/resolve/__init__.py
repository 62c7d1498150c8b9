"""SyntaxTree → Spec: names resolved, units converted, defaults filled in, every independent error in one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.spec import Spec
from hawqlang.stages.resolve.assemble import assemble
from hawqlang.stages.resolve.existence import MISSING_FILE_CODES, missing_files
from hawqlang.stages.resolve.files import load
from hawqlang.stages.resolve.ignores import silence, split, unused
from hawqlang.stages.resolve.report import Sink

__all__ = ["MISSING_FILE_CODES", "missing_files", "resolve_file", "silence"]

_NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


def resolve_file(
    path: Path,
    *,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
    root: Path | None = None,
    trust: bool = False,
) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    """Return the resolved spec, ``None`` where it has errors, and everything found in one run.

    Args:
        path: The main file; its diagnostics show it as given here.
        overrides: ``--set`` values by param, as typed.
        root: The folder imports may not leave; by default the nearest one above the file with a ``.git``.
        trust: Whether ``python(…)`` is allowed.

    Raises:
        ToolError: where the file cannot be read or an override names no param.
    """
    sink = Sink()
    main, home = load(path, root, sink)
    spec = assemble(main, home, overrides, trust, sink)
    ignores = tuple(comment for file in main.reached() for comment in file.tree.ignores)
    here, later = split(ignores)
    kept, used = silence(sink.diagnostics, here)
    if not sink.partial:
        kept = (*kept, *unused(here, used))
    if sink.errors:
        return None, kept
    return spec.replace(ignores=later), kept
