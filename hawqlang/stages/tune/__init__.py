"""Step ``tune``: what changes in the network between allocation and lowering."""

from __future__ import annotations

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.tuning import LayerBias, Tuning
from hawqlang.stages.batches import Stream
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.tune.bias_correction import (
    LEAST_SAMPLES,
    BiasCorrection,
    correct_biases,
    wants_correction,
)

__all__ = ["BiasCorrection", "correct_biases", "tune"]


def tune(
    model: FloatModel,
    table: RangeTable,
    deployment: Deployment,
    samples: Stream,
    store: TensorStore,
    feedback: Feedback,
) -> Tuning:
    """Return the biases that the network is deployed with where they differ from its own.

    Args:
        model: The float network.
        table: Ranges of everything that is stored.
        deployment: Precision and settings of every layer.
        samples: Calibration samples as the network sees them.
        store: Takes the corrected biases.
        feedback: Gets layers done, and a note where the correction was dropped (HQ430) or there
            were too few samples to judge it (HQ431).
    """
    if not wants_correction(model.graph, deployment):
        return Tuning()
    found = correct_biases(model, Simulation(model, table, deployment), samples, feedback)
    if found is None:
        feedback.report(
            Diagnostic(
                code="HQ431",
                severity="note",
                message="biases are not corrected: that takes at least "
                f"{LEAST_SAMPLES} calibration samples",
            )
        )
        return Tuning()
    if not found.kept:
        feedback.report(
            Diagnostic(
                code="HQ430",
                severity="note",
                message="the bias correction was dropped: it does not bring held-out samples "
                f"closer to the float network (error {found.error_before:.2g} without, "
                f"{found.error_after:.2g} with it)",
            )
        )
    kept = found.biases if found.kept else {}
    return Tuning(
        biases=tuple(LayerBias(layer=name, bias=store.put(b)) for name, b in kept.items()),
        kept=found.kept,
        error_before=found.error_before,
        error_after=found.error_after,
        fitted=found.fitted,
        held_out=found.held_out,
    )
