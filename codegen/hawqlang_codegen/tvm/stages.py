"""How a batch walks through a network: stage by stage, so that large weights are read once for all its images.

Within a stage an image passes all steps before the next image begins, which keeps its tensors in cache; from stage to
stage go all images, which keeps the stage's weights there. A step with more bytes of weights than of tensors therefore
opens a stage.
"""

from __future__ import annotations

from hawqlang.ops import reads
from hawqlang_codegen.tvm.context import Conv, Depthwise
from hawqlang_codegen.tvm.plan import Plan

RESIDENT = 64 * 1024
"""Weights up to this many bytes stay near a core while an image passes a whole stage."""


def stages(plan: Plan) -> tuple[int, ...]:
    """Return the first step of each stage, and behind them the number of steps."""
    weights = weight_bytes(plan)
    opened = [
        i
        for i, (op, step) in enumerate(zip(plan.program.ops, plan.steps, strict=True))
        if weights[i] > RESIDENT
        and weights[i] > sum(plan.layouts.of[name].size for name in (*reads(op), *step.writes))
    ]
    return tuple(dict.fromkeys((0, *opened, len(plan.steps))))


def weight_bytes(plan: Plan) -> list[int]:
    """Return the bytes of packed weights of every step."""
    size = {
        kernel.name: kernel.context.weight_bytes
        for kernel in plan.kernels
        if isinstance(kernel.context, Conv | Depthwise)
    }
    return [sum(size.get(call.kernel, 0) for call in step.calls) for step in plan.steps]
