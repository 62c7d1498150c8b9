"""Archives of ``torch.export`` for tests: real ones, and copies of them with something changed."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from hawqlang.ir.spec import Input, Model, Pt2Source
from tests.support.imports import model_of


def pt2_model(path: Path, kind: Input, weights: Path | None = None) -> Model:
    """A model in an archive."""
    return model_of(Pt2Source(path=str(path)), kind, weights)


def save_pt2(
    net: nn.Module,
    path: Path,
    shape: Sequence[int],
    *,
    dynamic: bool = True,
    decomposed: bool = False,
    spatial: bool = False,
) -> Path:
    """Export a module in inference mode; ``spatial`` makes height and width symbolic too."""
    export = cast("Any", torch.export)
    axes = dict.fromkeys((0, 2, 3) if spatial else (0,), export.Dim.AUTO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = export.export(
            net, (torch.zeros(2, *shape),), dynamic_shapes=(axes,) if dynamic else None
        )
        if decomposed:
            program = program.run_decompositions()
        export.save(program, path)
    return path


def repacked(
    source: Path,
    target: Path,
    change: Callable[[str, bytes], bytes | None],
    *,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Copy an archive, each entry as ``change`` gives it; ``None`` leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for info in old.infolist():
            content = change(info.filename.split("/", 1)[1], old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return target


def edited(source: Path, target: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Copy an archive with its description changed."""

    def change(name: str, content: bytes) -> bytes:
        if name != "models/model.json":
            return content
        description = json.loads(content)
        edit(description)
        return json.dumps(description).encode()

    return repacked(source, target, change)


def save_dynamo(
    net: nn.Module,
    path: Path,
    shape: Sequence[int],
    *,
    optimize: bool = True,
    external: bool = False,
) -> Path:
    """Export a module to ONNX by way of ``torch.export``.

    ``optimize`` folds batch norms and constants; ``external`` keeps weights in a file of their own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = cast("Any", torch.onnx).export(
            net,
            (torch.zeros(2, *shape),),
            dynamo=True,
            opset_version=18,
            optimize=optimize,
            dynamic_shapes=({0: "n"},),
            verbose=False,
        )
    exported.save(str(path), external_data=external)
    return path
