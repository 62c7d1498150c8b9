"""A network made by Python code: the module is exported in memory and read as an archive of ``torch.export`` is."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hawqlang.base import Span
from hawqlang.cache import Array
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import Model, PythonCall
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.inputs import input_shape
from hawqlang.stages.import_model.pt2.archive import parsed
from hawqlang.stages.import_model.pt2.read import read_archive
from hawqlang.stages.import_model.recipes import Shape
from hawqlang.stages.user_code import Failure, called, telling

if TYPE_CHECKING:
    from torch import nn

EXPORT_FAILED = Failure(
    "HQ344",
    "exporting what {factory} gives",
    "torch.export follows one path through the module: no branches on data, one tensor in, one out; "
    "try torch.export.export(module, (example,)) on its own",
)


def read_python(
    model: Model, source: PythonCall, batch: int, *, trust: bool
) -> tuple[Draft, Callable[[str], Array], frozenset[str]]:
    """Return what ``read_pt2`` does, of the module that a factory gives."""
    if not trust:
        raise HawqError(_untrusted(model, source))
    shape = input_shape(model)
    export = partial(_exported, model=model, source=source, shape=shape)
    data = called(source, model.source_span, export)
    name = f"the module of {source.factory}"
    return read_archive(model, parsed(data, name, model.source_span), name, batch)


def export_module(module: nn.Module, example: object) -> bytes:
    """Return the archive of a module in inference mode, for any batch; the module is left in the mode it was in.

    Args:
        module: What is exported.
        example: A tensor that it takes, batch included.
    """
    import torch

    export = cast("Any", torch.export)
    before = {part: part.training for part in module.modules()}
    module.eval()
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = export.export(module, (example,), dynamic_shapes=({0: export.Dim.AUTO},))
            export.save(program, buffer)
    finally:
        for part, training in before.items():
            part.training = training
    return buffer.getvalue()


def _exported(made: object, *, model: Model, source: PythonCall, shape: Shape) -> bytes:
    import torch
    from torch import nn

    if not isinstance(made, nn.Module):
        raise HawqError(_no_module(source, made, model.source_span))
    with telling(source.factory, source.folder, model.source_span, EXPORT_FAILED):
        return export_module(made.cpu().float(), torch.zeros(2, *shape))


def code_files(call: PythonCall) -> tuple[Path, ...]:
    """Return the project's files that a factory's code lies in, sorted: its module, or its whole package."""
    parts = call.factory.partition(":")[0].split(".")
    root = Path(call.folder)
    package = root / parts[0]
    if package.is_dir():
        return tuple(sorted(path for path in package.rglob("*.py") if path.is_file()))
    single = root / f"{parts[0]}.py"
    return (single,) if single.is_file() else ()


def _untrusted(model: Model, source: PythonCall) -> Diagnostic:
    return Diagnostic(
        code="HQ340",
        severity="error",
        message=f"the network of '{model.name}' is made by Python code, '{source.factory}', which is not run here",
        span=model.source_span,
        help="export it once and name the archive: torch.export.save(…) and pt2(path)",
    )


def _no_module(source: PythonCall, made: object, span: Span) -> Diagnostic:
    return Diagnostic(
        code="HQ343",
        severity="error",
        message=f"'{source.factory}' gives {type(made).__name__!r}, which is no torch.nn.Module",
        span=span,
        help="name a function without required arguments that returns the module, or the module's class",
    )
