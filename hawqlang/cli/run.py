"""`hawqc run`: an artifact on one input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import typer

from hawqlang.cli.artifacts import open_answers, open_artifact
from hawqlang.cli.common import ArtifactArgument, guarded, stderr, stdout
from hawqlang.cli.progress import Terminal
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.stages.data.samples import channels_last, sample_shape


@guarded
def run(
    folder: ArtifactArgument,
    input_: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A .npy of uint8 pixels (N, H, W, C) or (H, W, C)."),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.npy", help="Where logits go.")
    ] = None,
) -> None:
    """Run an artifact on one input: uint8 pixels in, int32 logits out (their scale is in the manifest)."""
    manifest = open_artifact(folder)
    kind = manifest.network_input
    codes = channels_last(_read(input_, sample_shape(kind)), kind)
    logits = open_answers(folder, manifest, Terminal(stderr).note)(codes)
    if output is not None:
        np.save(output, logits)
        return
    for row in logits:
        best = np.argsort(row)[::-1][:5]
        stdout.print("  ".join(f"{i}: {row[i] * manifest.output.scale:.4f}" for i in best))


def _read(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return the pixels ``(N, H, W, C)`` of a .npy file, or the codes of a tensor on its own axes."""
    try:
        loaded: object = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _refused(path, f"cannot be read as .npy: {error}") from error
    if not isinstance(loaded, np.ndarray):
        raise _refused(path, "holds an archive, not one array")
    array = cast("npt.NDArray[Any]", loaded)
    if array.dtype != np.uint8:
        raise _refused(path, f"holds {array.dtype}, not uint8")
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or array.shape[0] == 0:
        raise _refused(path, f"has shape {array.shape}, not (N, {', '.join(map(str, shape))})")
    return array


def _refused(path: Path, why: str) -> HawqError:
    return HawqError(
        Diagnostic(
            code="HQ815",
            severity="error",
            message=f"'{path}' {why}",
            help="save uint8 pixels, channels last, with numpy.save",
        )
    )
