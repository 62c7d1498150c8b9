"""Calibration, sensitivity and tuning of a trained ResNet-20 on real images."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hawqlang.base import NOWHERE, Precision
from hawqlang.cache import TensorStore
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import (
    ActivationSettings,
    ArraysData,
    HessianSensitivity,
    ImageInput,
    Model,
    WeightFile,
    ZooSource,
)
from hawqlang.stages.batches import Stream, stream
from hawqlang.stages.calibrate import calibrate, input_interval, range_requests
from hawqlang.stages.data import open_samples
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model import import_model
from hawqlang.stages.quantize import Float64
from hawqlang.stages.sensitivity import Subject, sensitivity
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune import tune

W8A8, W4A8, W4A4 = (Precision(wbits=w, abits=a) for w, a in ((8, 8), (4, 8), (4, 4)))
IMAGE = ImageInput(
    height=32,
    width=32,
    mean=(Fraction("0.485"), Fraction("0.456"), Fraction("0.406")),
    std=(Fraction("0.229"), Fraction("0.224"), Fraction("0.225")),
)
QUIET = Feedback()


@dataclass(frozen=True)
class Case:
    """A calibrated network with images to judge it by."""

    model: FloatModel
    table: RangeTable
    settings: dict[str, LayerSettings]
    calibration: Stream
    evaluation: Stream
    labels: Float64
    float_logits: torch.Tensor

    def deployment(self, inner: Precision) -> Deployment:
        """Every layer at ``inner`` but the first and the last."""
        names = list(self.settings)
        precision = dict.fromkeys(names, inner) | {names[0]: W8A8, names[-1]: W8A8}
        return Deployment(precision, self.settings)

    def tuned(self, inner: Precision) -> tuple[Simulation, bool]:
        """The simulation with corrected biases, and whether they were kept."""
        deployment = self.deployment(inner)
        store = TensorStore()
        tuning = tune(self.model, self.table, deployment, self.calibration, store, QUIET)
        simulation = Simulation(self.model, self.table, deployment)
        for row in tuning.biases:
            simulation.set_bias(row.layer, store.get(row.bias))
        return simulation, tuning.kept

    def judge(self, simulation: Simulation) -> tuple[float, float]:
        """Top-1 difference to the float network and agreement with it, in percentage points."""
        logits = logits_of(simulation, self.evaluation)
        right, right_float = (
            z.argmax(1).numpy() == self.labels for z in (logits, self.float_logits)
        )
        agree = (logits.argmax(1) == self.float_logits.argmax(1)).double().mean()
        return 100 * float(right.mean() - right_float.mean()), 100 * float(agree)


def logits_of(network: FloatModel | Simulation, samples: Stream) -> torch.Tensor:
    with torch.inference_mode():
        run = network.forward if isinstance(network, FloatModel) else network.run
        return torch.cat([run(x) for x in samples.batches(64)])


@pytest.fixture(scope="module")
def resnet20(data_dir: Path) -> Case:
    model = Model(
        name="resnet20",
        source=ZooSource(name="cifar_resnet20"),
        weights=WeightFile(
            path=str(data_dir / "weights" / "cifar10_resnet20.pt"), sha256=None, span=NOWHERE
        ),
        input=IMAGE,
        span=NOWHERE,
        source_span=NOWHERE,
        input_span=None,
    )
    store = TensorStore()
    network = FloatModel(import_model(model, store), store)

    def read(name: str, count: int) -> tuple[Stream, Float64]:
        data = ArraysData(
            path=str(data_dir / "cifar10" / f"{name}.npz"),
            images="images",
            labels="labels",
            count=count,
            span=NOWHERE,
        )
        samples = open_samples(data, IMAGE)
        assert samples.labels is not None
        return stream(samples, IMAGE), samples.labels.astype(np.float64)

    calibration, _ = read("train_calib2000", 256)
    evaluation, labels = read("test_jpeg_dev4500", 1000)
    settings = {
        node.name: LayerSettings(layer=node.name, precision=(W4A4, W4A8, W8A8))
        for node in layer_nodes(network.graph)
    }
    default = ActivationSettings()
    table = calibrate(
        network,
        calibration,
        range_requests(network.graph, settings, default, 8, QUIET.report),
        interval=input_interval(IMAGE),
        default=default,
        feedback=QUIET,
    )
    float_logits = logits_of(network, evaluation)
    return Case(network, table, settings, calibration, evaluation, labels, float_logits)


def test_eight_bits_lose_next_to_nothing(resnet20: Case) -> None:
    simulation, _ = resnet20.tuned(W8A8)
    difference, agreement = resnet20.judge(simulation)
    assert difference >= -0.5
    assert agreement >= 97.5


def test_bias_correction_recovers_most_of_what_four_bit_weights_lose(resnet20: Case) -> None:
    plain = Simulation(resnet20.model, resnet20.table, resnet20.deployment(W4A8))
    before, agreed_before = resnet20.judge(plain)
    simulation, kept = resnet20.tuned(W4A8)
    after, agreed_after = resnet20.judge(simulation)
    assert kept
    assert before < -2
    assert after > 0.6 * before
    assert agreed_after > agreed_before + 3


def test_the_percentile_of_a_real_tensor_is_that_of_its_stored_values(resnet20: Case) -> None:
    name = "layer2.1.relu1"
    with torch.inference_mode():
        runs = [
            resnet20.model.run(x, keep=(name,)).kept[name] for x in resnet20.calibration.batches(64)
        ]
    stored = torch.cat(runs).numpy()
    row = resnet20.table.find(name, 8)
    assert row.high == pytest.approx(
        float(np.quantile(stored, 0.9999, method="inverted_cdf")), rel=1 / 256
    )
    assert row.low == 0.0


def test_fewer_bits_always_cost_more(resnet20: Case) -> None:
    subject = Subject(resnet20.model, resnet20.table, resnet20.settings)
    method = HessianSensitivity(samples=8)
    table = sensitivity(subject, resnet20.calibration, method, 0, QUIET)
    assert (table.probes, table.converged) == (10, True)
    for row in table.layers:
        w4a4, w4a8, w8a8 = (value for _, value in row.values)
        assert w4a4 > w4a8 > w8a8 > 0
        assert row.weight_trace_stderr == 0
