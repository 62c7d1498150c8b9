"""Networks, ranges and settings that the tests of sensitivities share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import ActivationSettings, MinMax
from hawqlang.stages.batches import stream_of
from hawqlang.stages.calibrate import calibrate, range_requests
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.sensitivity import Subject
from hawqlang.stages.structure import layer_nodes
from tests.unit.stages.nets import residual_net

W4A4, W4A8, W8A4, W8A8 = (Precision(wbits=w, abits=a) for w in (4, 8) for a in (4, 8))
ALL = (W4A4, W4A8, W8A8)
QUIET = Feedback()
Choices = Mapping[str, tuple[Precision, ...]]


def images(n: int) -> torch.Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-2, 2.5)


def subject(
    choices: Choices | None = None,
    *,
    make: Callable[[], tuple[Graph, TensorStore]] = residual_net,
    corrected: bool = True,
    **more: tuple[Precision, ...],
) -> Subject:
    """Return a network whose named layers have a choice; the others are at w8a8.

    Layers are named in ``choices``, or as keywords with underscores for dots.
    """
    model = FloatModel(*make())
    act = ActivationSettings(range=MinMax())
    own = {**(choices or {}), **{name.replace("_", "."): what for name, what in more.items()}}
    settings = {
        node.name: LayerSettings(
            layer=node.name,
            precision=own.get(node.name, (W8A8,)),
            activations=act,
            bias_correction=corrected,
        )
        for node in layer_nodes(model.graph)
    }
    requests = range_requests(model.graph, settings, act, 8, QUIET.report)
    table = calibrate(
        model, stream_of(images(8)), requests, interval=(-2.0, 2.5), default=act, feedback=QUIET
    )
    return Subject(model, table, settings)


def values(table: SensitivityTable, layer: str) -> dict[str, float]:
    row = next(row for row in table.layers if row.layer == layer)
    return {str(precision): value for precision, value in row.values}
