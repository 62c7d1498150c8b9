"""Training computes on one device: nothing is made elsewhere and mixed in.

PyTorch's ``meta`` device has shapes and devices but no values, and refuses to mix as CUDA does.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from hawqlang.base import Precision
from hawqlang.ir.spec import Finetune
from hawqlang.stages.finetune import Pupil, network_of
from hawqlang.stages.finetune.objective import Objective
from hawqlang.stages.finetune.training import Teacher, exactly
from hawqlang.stages.float_model import preprocess
from tests.unit.stages.finetune.lesson_nets import KIND, drawn, method, network, pupil

MODEL, _ = network()
META = torch.device("meta")
NOTHING: Mapping[str, object] = {}
NARROW = {"accumulator": "int16"}
GROUPS = {"weights": {"scheme": "affine", "granularity": {"size": 2}}}


def learning(asked: Finetune, bits: int, settings: Mapping[str, object] = NOTHING) -> Pupil:
    precision = Precision(wbits=bits, abits=8)
    return pupil(MODEL, drawn(MODEL, 16), asked, precision, residual=8, **settings)


@pytest.mark.parametrize(
    ("asked", "bits", "settings"),
    [
        (method(), 4, {}),
        (method(), 4, GROUPS),
        (method("overflow_aware"), 8, NARROW),
        (method("overflow_aware"), 8, NARROW | GROUPS),
        (method("mean_field", levels=(-1, 0, 1)), 2, {}),
        (method(levels=(-1, 1)), 1, {}),
    ],
    ids=["step", "groups", "bounded", "bounded-groups", "mean-field", "nearest-level"],
)
def test_a_step_of_training_stays_on_its_device(
    asked: Finetune, bits: int, settings: Mapping[str, object]
) -> None:
    learner = network_of(learning(asked, bits, settings), asked)
    learner.to(META)
    teacher = Teacher(MODEL, META)
    x = preprocess(drawn(MODEL, 16).images, KIND).to(META)
    learner.settle(x, teacher.run(x, learner.unsettled()).kept)
    logits = learner.run(x)
    labels = torch.zeros(16, dtype=torch.int64, device=META)
    loss = Objective(distill=True).loss(logits, labels, teacher.run(x).output)
    loss.backward()
    optimizer = torch.optim.Adam([leaf for leaf in learner.leaves() if leaf.requires_grad])
    optimizer.step()
    assert {leaf.device for leaf in learner.leaves()} == {META}
    assert all(leaf.grad is not None for leaf in learner.leaves() if leaf.requires_grad)


def test_a_tensor_left_behind_is_found() -> None:
    asked = method()
    learner = network_of(learning(asked, 4), asked)
    learner.to(META)
    learner.biases["c2"] = torch.zeros(6)
    with pytest.raises(RuntimeError, match="device"):
        learner.run(preprocess(drawn(MODEL, 8).images, KIND).to(META))


def test_cuda_multiplies_float32_as_float32() -> None:
    with exactly(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.deterministic
    before = torch.backends.cudnn.allow_tf32
    with exactly(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32 == before
