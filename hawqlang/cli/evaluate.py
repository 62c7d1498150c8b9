"""`hawqc eval`: the accuracy of an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hawqlang.cli.artifacts import evaluation_data, open_answers, open_artifact
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
from hawqlang.diagnostics import HawqError
from hawqlang.ir.evaluation import Evaluation


@guarded
def evaluate(
    folder: ArtifactArgument,
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Another set of the same form.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Labels of a folder of images.")
    ] = None,
    format_: FormatOption = Format.text,
) -> None:
    """Run an artifact on its evaluation set, beside the float network."""
    from hawqlang.cache import Cache
    from hawqlang.resources import cache_dir
    from hawqlang.stages.data import open_samples
    from hawqlang.stages.evaluate import compare, float_top1, integer_top1
    from hawqlang.stages.import_model import import_model

    manifest = open_artifact(folder)
    progress = Terminal(stderr)
    samples = open_samples(evaluation_data(manifest, data, labels), manifest.network_input)
    answers = open_answers(folder, manifest, progress.note)
    classes = integer_top1(answers, samples, manifest.network_input, progress)
    cache = Cache(cache_dir())
    try:
        graph = import_model(manifest.model, cache.tensors)
        reference = float_top1(graph, manifest.network_input, samples, cache, progress)
    except HawqError as error:
        progress.note(f"without FP32: {error.diagnostics[0].message}")
        reference = None
    result = compare(classes, reference, samples.labels)
    if format_ is Format.json:
        print_json(evaluation_json(result))
    else:
        for line in evaluation_lines(result):
            stdout.print(line)


def evaluation_json(result: Evaluation) -> dict[str, Any]:
    """Return the stable keys of ``eval --format json``."""
    return {
        "n": result.n,
        "accuracy": result.accuracy,
        "fp32_accuracy": result.fp32_accuracy,
        "agreement": result.agreement,
        "drop_stderr": result.drop_stderr,
    }


def evaluation_lines(result: Evaluation) -> list[str]:
    """Return the result as a person reads it."""
    lines = [f"{result.n} inputs"]
    if result.accuracy is not None:
        lines.append(f"integer accuracy  {result.accuracy:8.2%}")
    if result.fp32_accuracy is not None:
        lines.append(f"FP32 accuracy     {result.fp32_accuracy:8.2%}")
    if result.drop is not None:
        lines.append(
            f"difference        {100 * (0 - result.drop):+8.2f} points"
            f" (± {100 * (result.drop_stderr or 0):.2f}, paired)"
        )
    if result.agreement is not None:
        lines.append(f"same top-1        {result.agreement:8.2%}")
    return lines
