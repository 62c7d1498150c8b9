"""`hawqc init`: a first spec: the shipped starter, or one for somebody's own network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from hawqlang.cli.common import guarded, stdout
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.diagnostics.suggest import nearest
from hawqlang.resources import data_dir
from hawqlang.stages.bundle import staging
from hawqlang.stages.starter import GOALS, GoalWord, Wishes, starter

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
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="MODEL.onnx", help="The network the spec is for."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="Calibration samples: .npz, or a folder."),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option("--eval", metavar="PATH", help="Labelled samples: .npz, or a folder."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="CSV", help="Labels of a folder of pictures.")
    ] = None,
    target: Annotated[
        str, typer.Option("--target", metavar="DEVICE", help="A device of `hawqc targets`.")
    ] = "cpu.x86_64",
    goal: Annotated[
        str, typer.Option("--goal", help="size, work, speed or accuracy: what it is after.")
    ] = "size",
    pixels: Annotated[
        str | None,
        typer.Option("--pixels", metavar="HxW", help="Input size, if the file has none."),
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask for the network, data, target, goal.")
    ] = False,
) -> None:
    """Write a commented spec that builds as it stands.

    Without options it stands beside a small network and its data. With --from it is for your own network: its input,
    the names of its layers, and constraints that can be met come from the ONNX file.
    """
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
    if ask:
        from_ = _asked_path("The network, an ONNX file (none: a small example)", from_)
        if from_ is not None:
            data = _asked_path("Calibration samples, .npz or a folder (none: made up)", data)
            evaluation = _asked_path("Labelled samples for the accuracy (none)", evaluation)
            target = typer.prompt("The device (`hawqc targets` lists them)", target, err=True)
            goal = typer.prompt(f"What it is after: {', '.join(GOALS)}", goal, err=True)
    if from_ is None:
        _example(folder)
        return
    wishes = Wishes(
        name=_identifier(folder.name),
        model=_existing(from_),
        folder=folder,
        calibration=None if data is None else _existing(data),
        evaluation=None if evaluation is None else _existing(evaluation),
        labels=None if labels is None else _existing(labels),
        device=_device(target),
        goal=_goal(goal),
        pixels=_pixels(pixels),
    )
    text = starter(wishes)
    with staging(folder) as made:
        (made.path / f"{wishes.name}.hawq").write_text(_formatted(text), encoding="utf-8")
        made.commit()
    _tell(folder / f"{wishes.name}.hawq", "", f"build/{wishes.name}")


def _example(folder: Path) -> None:
    """Copy the shipped starter, its network and its data."""
    source = data_dir("specs")
    with staging(folder) as made:
        for origin, target in _FILES.items():
            shutil.copyfile(source / origin, made.path / target.format(name=folder.name))
        made.commit()
    _tell(folder / f"{folder.name}.hawq", ", a model and its data", "build/digits")


def _tell(spec: Path, beside: str, built: str) -> None:
    stdout.print(f"wrote {spec}{beside}; now:\n", markup=False)
    for line in (f"hawqc check {spec}", f"hawqc build {spec}", f"hawqc verify {built}"):
        stdout.print(f"  {line}", markup=False)


def _formatted(text: str) -> str:
    from hawqlang.stages.format import format_text

    return format_text(text, "starter.hawq").text or text


# ---- what was said -------------------------------------------------------------------------------


def _asked_path(question: str, default: Path | None) -> Path | None:
    shown = "" if default is None else str(default)
    answer: str = typer.prompt(question, shown, show_default=bool(shown), err=True)
    return Path(answer.strip()) if answer.strip() else None


def _identifier(text: str) -> str:
    """Return a folder's name as the name of a model."""
    from hawqlang.stages.resolve.scope import reserved

    word = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "network"
    word = f"n{word}" if word[0].isdigit() else word
    return f"my_{word}" if reserved(word) or word in ("machine", "samples") else word


def _existing(path: Path) -> Path:
    if path.exists():
        return path
    raise _misuse("HQ884", f"'{path}' is not there", "check the path")


def _device(name: str) -> str:
    from hawqlang.stages.resolve.devices import device_names

    known = device_names()
    if name in known:
        return name
    near = nearest(name, known) or known
    shown = ", ".join(f"`{one}`" for one in near)
    raise _misuse("HQ884", f"'{name}' is no device", f"known are {shown}")


def _goal(word: str) -> GoalWord:
    for known in GOALS:
        if word == known:
            return known
    shown = ", ".join(f"`{one}`" for one in GOALS)
    raise _misuse("HQ884", f"'{word}' is no goal of a first spec", f"known are {shown}")


def _pixels(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text, re.ASCII)
    if found is None:
        raise _misuse("HQ884", f"'{text}' is no size", "write `--pixels 224x224`")
    return int(found[1]), int(found[2] or found[1])


def _misuse(code: str, message: str, help_: str) -> ToolError:
    return ToolError(Diagnostic(code=code, severity="error", message=message, help=help_))
