"""lower: a float graph, its ranges and a plan become an integer program; the passes stand in order in ``PASSES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.certificate import UnprovenError, certificate
from hawqlang.ir.graph import Graph
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.scales import ScaleTable
from hawqlang.stages.lower.absorb_bias import absorb_bias
from hawqlang.stages.lower.align_residual import align_residual
from hawqlang.stages.lower.check_accumulators import check_accumulators
from hawqlang.stages.lower.draft import Draft, LowerSettings, Request, Tuned
from hawqlang.stages.lower.dyadic_requantize import dyadic_requantize
from hawqlang.stages.lower.errors import result_overflow
from hawqlang.stages.lower.name_tensors import name_tensors
from hawqlang.stages.lower.order_channels import order_channels
from hawqlang.stages.lower.quantize_weights import quantize_weights
from hawqlang.stages.lower.scale_int32 import scale_int32
from hawqlang.stages.lower.scale_tensors import scale_tensors
from hawqlang.stages.lower.schedule import schedule
from hawqlang.stages.lower.write_program import write_program, write_scales

PASSES: tuple[Callable[[Draft], Draft], ...] = (
    schedule,
    order_channels,
    scale_tensors,
    quantize_weights,
    absorb_bias,
    check_accumulators,
    scale_int32,
    name_tensors,
    align_residual,
    dyadic_requantize,
)
"""Each takes a draft and returns it with more of its numbers."""

__all__ = ["PASSES", "LowerSettings", "Tuned", "lower"]


def lower(
    graph: Graph,
    ranges: RangeTable,
    precisions: Mapping[str, Precision],
    settings: LowerSettings,
    store: TensorStore,
    tuned: Tuned | None = None,
) -> tuple[IntegerProgram, ScaleTable]:
    """Return the integer program of a network, and the real scales behind its tensors.

    Args:
        graph: The float network with its weights.
        ranges: Range of every root at every width that the precisions make a reader want.
        precisions: Of every layer with weights.
        settings: The input, the residual width and what layers ask for.
        store: Holds the graph's weights; takes the program's constants.
        tuned: Corrected biases or weights, where a step found better ones.

    Raises:
        HawqError: HQ6xx, for instance where a layer's accumulators could overflow.
    """
    draft = Draft(Request(graph, ranges, precisions, settings, tuned or Tuned(), store))
    for step in PASSES:
        draft = step(draft)
    program = write_program(draft)
    try:
        bounds = certificate(program, store)
    except UnprovenError as error:
        raise result_overflow(error.op, error.what, error.bound, error.limit) from None
    return program.replace(bounds=bounds), write_scales(draft)
