"""`hawqc init`: a starter spec with a model and data, so that it builds as it stands."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from hawqlang.cli.common import guarded, stdout
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.resources import data_dir
from hawqlang.stages.bundle import staging

_FILES = {
    "starter/starter.hawq": "{name}.hawq",
    "examples/digits/digits.onnx": "model.onnx",
    "examples/digits/digits_calib.npz": "calibration.npz",
    "examples/digits/digits_eval.npz": "evaluation.npz",
}
"""Files below the shipped ``specs`` folder, and what they are called in the new one."""


@guarded
def init(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Folder and spec to make.")
    ] = "starter",
) -> None:
    """Write a commented starter spec, beside a small model and its data, that builds as it stands."""
    folder = Path(name)
    if folder.exists():
        raise HawqError(
            Diagnostic(
                code="HQ827",
                severity="error",
                message=f"'{folder}' exists already; nothing was written",
                help="choose another name, or remove it first",
            )
        )
    source = data_dir("specs")
    with staging(folder) as made:
        for origin, target in _FILES.items():
            shutil.copyfile(source / origin, made.path / target.format(name=folder.name))
        made.commit()
    spec = folder / f"{folder.name}.hawq"
    stdout.print(f"wrote {spec}, a model and its data; now:\n", markup=False)
    for line in (f"hawqc check {spec}", f"hawqc build {spec}", "hawqc verify build/digits"):
        stdout.print(f"  {line}", markup=False)
