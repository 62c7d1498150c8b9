"""The interpreter as an oracle: what it keeps, what it refuses, and a real network."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hawqlang.base import NOWHERE, Precision
from hawqlang.cache import TensorStore
from hawqlang.interpret import interpret, logits
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.spec import ActivationSettings, Model, WeightFile, ZooSource
from hawqlang.stages.batches import stream_of
from hawqlang.stages.calibrate import calibrate, input_interval, range_requests
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel, preprocess
from hawqlang.stages.import_model import import_model
from hawqlang.stages.lower import LowerSettings, lower
from hawqlang.stages.structure import layer_nodes
from tests.unit.stages.lower.harness import image, lowered
from tests.unit.stages.nets import residual_net


def test_it_returns_what_is_asked_for() -> None:
    found = lowered(residual_net())
    program, store, samples = found.program, found.store, found.samples
    assert set(interpret(program, store, samples)) == {"fc:i32"}
    some = interpret(program, store, samples, keep=["stem.relu:u8", "x:pixels"])
    assert set(some) == {"fc:i32", "stem.relu:u8", "x:pixels"}
    everything = interpret(program, store, samples, keep="all")
    assert set(everything) == {tensor.name for tensor in program.tensors}
    for tensor in program.tensors:
        array = everything[tensor.name]
        assert array.shape == (4, *tensor.shape)
        assert array.dtype == tensor.dtype
        low, high = tensor.range
        assert low <= int(array.min()) <= int(array.max()) <= high
    np.testing.assert_array_equal(some["stem.relu:u8"], everything["stem.relu:u8"])


def test_a_batch_is_its_images_one_by_one() -> None:
    found = lowered(residual_net(), count=5)
    whole = logits(found.program, found.store, found.samples)
    apart = logits(found.program, found.store, found.samples, batch=2)
    np.testing.assert_array_equal(whole, apart)
    assert whole.dtype == np.int32


@pytest.mark.parametrize("wrong", ["dtype", "shape"])
def test_inputs_of_another_kind_are_refused(wrong: str) -> None:
    found = lowered(residual_net())
    samples = found.samples.astype(np.int16) if wrong == "dtype" else found.samples[:, 1:]
    with pytest.raises(ValueError, match=r"not uint8\(8, 8, 3\)"):
        interpret(found.program, found.store, samples)


def test_resnet20_at_eight_bits_keeps_its_accuracy(data_dir: Path) -> None:
    source = image(
        32,
        32,
        mean=(Fraction(485, 1000), Fraction(456, 1000), Fraction(406, 1000)),
        std=(Fraction(229, 1000), Fraction(224, 1000), Fraction(225, 1000)),
    )
    weights = next((data_dir / "weights").glob("*resnet20*"))
    model = Model(
        name="resnet20",
        source=ZooSource(name="cifar_resnet20"),
        weights=WeightFile(path=str(weights), sha256=None, span=NOWHERE),
        input=source,
        span=NOWHERE,
        source_span=NOWHERE,
        input_span=None,
    )
    store = TensorStore()
    graph = import_model(model, store)
    w8a8 = Precision(wbits=8, abits=8)
    precisions = {node.name: w8a8 for node in layer_nodes(graph)}
    layers = {name: LayerSettings(layer=name, precision=(w8a8,)) for name in precisions}
    default = ActivationSettings()
    feedback = Feedback()
    calibration = np.load(data_dir / "cifar10" / "train_calib2000.npz")["images"][:128]
    table = calibrate(
        FloatModel(graph, store),
        stream_of(preprocess(calibration, source)),
        range_requests(graph, layers, default, 8, feedback.report),
        interval=input_interval(source),
        default=default,
        feedback=feedback,
    )
    settings = LowerSettings(input=source, layers=layers)
    program, _ = lower(graph, table, precisions, settings, store)
    held_out = np.load(data_dir / "cifar10" / "test_lossless_dev517.npz")
    classes = logits(program, store, held_out["images"], batch=64).argmax(axis=1)
    with torch.inference_mode():
        real = FloatModel(graph, store).forward(preprocess(held_out["images"], source))
    expected = json.loads((data_dir / "EXPECTED_FP32.json").read_text())
    right, total, _ = expected["cifar10_resnet20"]["test_lossless_dev517"]
    assert int((classes == held_out["labels"]).sum()) >= right - total // 100
    assert float((classes == real.argmax(dim=1).numpy()).mean()) > 0.97
