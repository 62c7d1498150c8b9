"""`hawqc verify`: prove an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hawqlang.cli.artifacts import open_artifact
from hawqlang.cli.common import (
    ArtifactArgument,
    Format,
    FormatOption,
    guarded,
    print_json,
    stderr,
    stdout,
)
from hawqlang.cli.progress import Terminal
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.ir.bundle import Manifest
from hawqlang.ir.spec import Data
from hawqlang.ir.verdict import Verdict

if TYPE_CHECKING:
    from hawqlang.stages.data import Samples


@guarded
def verify(
    folder: ArtifactArgument,
    inputs: Annotated[
        str, typer.Option(metavar="N|all", help="Calibration and evaluation images to compare.")
    ] = "16",
    format_: FormatOption = Format.text,
) -> None:
    """Prove an artifact: bit-exact on every back end, integer-only, overflow-free, unchanged."""
    from hawqlang.stages import verify as stage

    manifest = open_artifact(folder)
    progress = Terminal(stderr)
    sets = dict(_samples(manifest, progress))
    real = stage.real_inputs(sets, manifest.network_input, _count(inputs))
    verdict = stage.verify(folder, manifest, real, progress)
    if format_ is Format.json:
        print_json(verdict_json(verdict))
    else:
        _print(folder, verdict)
    if not stage.holds(verdict):
        raise typer.Exit(1)


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return the stable keys of ``verify --format json``."""
    difference = verdict.first_difference
    return {
        "format_version": 1,
        "bit_exact": bool(verdict.backends) and all(b.bit_exact for b in verdict.backends),
        "integer_only": all(b.integer_only for b in verdict.backends),
        "overflow_free": verdict.overflow_free,
        "hashes": verdict.hashes,
        "changed_files": list(verdict.changed_files),
        "backends": {
            f"{b.backend}:{b.variant}": b.model_dump(exclude={"backend", "variant"})
            for b in verdict.backends
        },
        "first_difference": None if difference is None else difference.model_dump(),
    }


def _count(text: str) -> int | None:
    if text == "all":
        return None
    if text.isdecimal():
        return int(text)
    raise ToolError(
        Diagnostic(
            code="HQ828",
            severity="error",
            message=f"`--inputs {text}` is neither a number nor `all`",
            help="write `--inputs 16`",
        )
    )


def _samples(manifest: Manifest, progress: Terminal) -> Iterator[tuple[str, Samples]]:
    """Yield the sets the artifact was made with, those that can be had."""
    from hawqlang.stages.data import open_samples

    for role in ("calibration", "evaluation"):
        data: Data | None = getattr(manifest.dataset, role, None)
        if data is None:
            continue
        try:
            yield role, open_samples(data, manifest.network_input)
        except HawqError as error:
            progress.note(f"without {role} images: {error.diagnostics[0].message}")


def _print(folder: Path, verdict: Verdict) -> None:
    def line(good: bool, title: str, detail: str) -> None:
        mark = "[green]✓[/green]" if good else "[red]✗[/red]"
        stdout.print(f"{mark} {title:<15} {detail}", soft_wrap=True)

    stdout.print(f"[bold]{folder}[/bold]")
    for b in verdict.backends:
        line(
            b.bit_exact,
            "bit-exact",
            f"{b.backend} {b.variant}: {b.tensors} stored tensors × {b.inputs} inputs"
            " equal the interpreter's",
        )
    for b in {b.backend: b for b in verdict.backends}.values():
        line(
            b.integer_only,
            "integer-only",
            f"{b.backend}: {b.instructions:,} instructions disassembled, "
            + (
                "no floating-point arithmetic"
                if b.integer_only
                else "; ".join(b.float_instructions)
            ),
        )
    line(verdict.overflow_free, "overflow-free", "every accumulator's bound holds for all inputs")
    line(
        verdict.hashes,
        "unchanged",
        "every file has the manifest's sha256"
        if verdict.hashes
        else "; ".join(verdict.changed_files[:5]),
    )
    if (first := verdict.first_difference) is not None:
        stdout.print(
            f"  first difference: {first.backend}, input {first.input}, op {first.op}, tensor"
            f" {first.tensor}{list(first.index)}: expected {first.expected}, got {first.got}",
            soft_wrap=True,
            markup=False,
        )
