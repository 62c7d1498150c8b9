"""A small network and a task it can learn, for tests of fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from hawqlang.base import NOWHERE, Precision
from hawqlang.cache import Cache, TensorStore
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import ActivationSettings, Finetune, MinMax, Mse
from hawqlang.ir.tuning import Tuning
from hawqlang.stages.batches import stream
from hawqlang.stages.calibrate import calibrate, input_interval, range_requests
from hawqlang.stages.data.samples import Labels, UInt8
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.finetune import Pupil, finetune
from hawqlang.stages.float_model import FloatModel, preprocess
from hawqlang.stages.memory import Memory
from hawqlang.stages.simulate import Deployment
from hawqlang.stages.structure import layer_nodes
from tests.support.imports import image
from tests.unit.stages.nets import Net

KIND = image(8, 8).replace(scale=Fraction(1, 255))
W2A3, W8A8 = Precision(wbits=2, abits=3), Precision(wbits=8, abits=8)


@dataclass(frozen=True)
class Drawn:
    """Samples in memory."""

    images: UInt8
    labels: Labels | None
    digest: str = "drawn"

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[UInt8]:
        return (self.images[a : a + size] for a in range(0, len(self.images), size))

    def take(self, indices: Sequence[int]) -> UInt8:
        return self.images[list(indices)]


def network() -> tuple[FloatModel, TensorStore]:
    """A residual network with a concat, a pool and both kinds of layer, and the store of its weights."""
    net = Net((3, 8, 8), seed=4)
    a = net.relu("r1", net.conv("c1", "x", 6))
    b = net.conv("c2", a, 6)
    c = net.relu("r2", net.add("sum", b, a), high=3.0)
    d = net.relu("r3", net.conv("c3", net.max_pool("pool", c), 6))
    e = net.concat("cat", d, net.max_pool("pool2", c))
    net.linear("fc", net.flatten("flat", net.avg_pool("mean", e)), 4)
    model = FloatModel(net.graph("fc"), net.store)
    with torch.inference_mode():
        logits = model.forward(preprocess(pictures(256), KIND))
    scale = 4 / logits.std(0)  # every class is the answer to some images, and clearly so
    parameters = model.parameters
    parameters["fc.bias"] = ((parameters["fc.bias"] - logits.mean(0)) * scale).clone()
    parameters["fc.weight"] = (parameters["fc.weight"] * scale[:, None]).clone()
    return model, net.store


def pictures(count: int) -> UInt8:
    """Random images with some structure."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, 2, 2, 3)).repeat(4, 1).repeat(4, 2)
    return np.clip(coarse + rng.integers(-20, 20, (count, 8, 8, 3)), 0, 255).astype(np.uint8)


def drawn(model: FloatModel, count: int, *, labelled: bool = True) -> Drawn:
    """Random images; their labels are the float network's own answers, so that it is the best there is."""
    images = pictures(count)
    with torch.inference_mode():
        logits = model.forward(preprocess(images, KIND))
    return Drawn(images, logits.argmax(1).numpy() if labelled else None)


def method(
    name: str = "qat",
    epochs: int = 3,
    levels: tuple[int, ...] = (),
    lr: Fraction | None = None,
    distill: bool | None = None,
) -> Finetune:
    """What a spec asks for."""
    given = {"lr": lr, "distill": distill}
    return Finetune.model_validate(
        {
            "method": name,
            "epochs": epochs,
            "levels": levels,
            "arguments": tuple((k, v) for k, v in given.items() if v is not None),
        }
    )


def pupil(
    model: FloatModel,
    samples: Drawn,
    asked: Finetune,
    inner: Precision = W2A3,
    *,
    residual: int = 8,
    **settings: object,
) -> Pupil:
    """The network at ``inner`` with its ends at 8 bits, calibrated."""
    names = [node.name for node in layer_nodes(model.graph)]
    precision = dict.fromkeys(names, inner) | {names[0]: W8A8, names[-1]: W8A8}
    own = {
        name: LayerSettings.model_validate(
            {"layer": name, "precision": (precision[name],), "finetune": asked, **settings}
        )
        for name in names
    }
    default = ActivationSettings(range=Mse() if inner != W8A8 else MinMax())
    requests = range_requests(model.graph, own, default, residual, lambda _: None)
    table: RangeTable = calibrate(
        model,
        stream(samples, KIND),
        requests,
        interval=input_interval(KIND),
        default=default,
        feedback=Feedback(),
    )
    return Pupil(model, table, Deployment(precision, own, residual), KIND, NOWHERE)


def train(
    who: Pupil, samples: Drawn, memory: Memory | None = None, feedback: Feedback | None = None
) -> tuple[Tuning, Memory]:
    """Fine-tune, and return where the result's arrays are."""
    memory = memory or Memory(Cache(None), "test")
    return finetune(who, Tuning(), samples, 0, memory, feedback or Feedback()), memory
