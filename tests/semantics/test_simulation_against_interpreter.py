"""The simulation in float stores what the integer program stores: the recipe that is tuned is the one that runs.

Both round the same values on the same grids; they can differ where a sum lies on a rounding border, since the program's
scale ratios are dyadic numbers. Differences are therefore a step at most, and rare.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hawqlang.base import Precision
from hawqlang.ir.candidates import LayerSettings
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.simulate import Deployment, Key, Simulation
from hawqlang.stages.structure import Form
from tests.support.blocks import FAMILIES
from tests.unit.stages.lower.harness import Lowered, lowered
from tests.unit.stages.lower.test_families import of_family
from tests.unit.stages.lower.test_networks import NETS, mixed


def simulated(found: Lowered, residual: int = 8) -> tuple[Simulation, dict[Key, torch.Tensor]]:
    """Everything that the simulation stores for the samples of a lowered network."""
    request = found.draft.request
    precisions: dict[str, Precision] = dict(request.precisions)
    settings = {n: LayerSettings(layer=n, precision=(p,)) for n, p in precisions.items()}
    model = FloatModel(found.graph, found.store)
    deployment = Deployment(precisions, settings, residual)
    simulation = Simulation(model, request.ranges, deployment, torch.float64)
    state = dict(simulation.enter(found.seen()))

    def lookup(key: Key) -> torch.Tensor:
        return state[key] if key.form else simulation.accumulate(key.value, lookup)

    for node in found.graph.nodes:
        state.update(simulation.compute(node, lookup))
    return simulation, state


def form_of(simulation: Simulation, value: str, bits: int, scale: float) -> Form | None:
    """The form in which the simulation stores what a tensor of the program stands for."""
    return next(
        (
            form
            for form in simulation.forms[value]
            if form.bits == bits and form in simulation.params
            if simulation.params[form].scale == pytest.approx(scale)
        ),
        None,
    )


@pytest.mark.parametrize(
    ("precision", "residual"), [("w8a8", 8), ("mixed", 8), ("mixed", 16), ("w8a8", 32)]
)
@pytest.mark.parametrize("name", NETS)
def test_both_store_the_same_values(name: str, precision: str, residual: int) -> None:
    net = NETS[name]()
    precisions = mixed(net[0], precision)
    found = lowered(net, precisions=precisions, exact_weights=False, residual=residual)
    assert_stored_alike(found, residual)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_both_store_the_same_values_in_blocks_of_well_known_families(
    family: str, tmp_path: Path
) -> None:
    assert_stored_alike(of_family(family, tmp_path), 8)


def assert_stored_alike(found: Lowered, residual: int) -> None:
    """Every tensor of both is the same but for a step here and there."""
    simulation, state = simulated(found, residual)
    arrays = found.integers()
    compared = 0
    for row in found.scales.scales:
        bits = found.program.tensor(row.tensor).bits
        form = None if bits == 32 else form_of(simulation, row.value, bits, row.scale)
        if form is None:
            continue
        got = found.dequantized(arrays, row.tensor) / row.scale
        steps = ((state[Key(row.value, form)] / row.scale - got).abs() + 0.01).floor()
        assert steps.max() <= 1, row.tensor
        assert float((steps > 0).double().mean()) <= 0.001, row.tensor
        compared += 1
    assert compared >= 3
    logits = state[simulation.logits].numpy()
    np.testing.assert_allclose(found.logits(), logits, atol=0.01 * float(np.abs(logits).max()))
