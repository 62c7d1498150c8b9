from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from hawqlang.base import NOWHERE
from hawqlang.cache import TensorStore
from hawqlang.ir.spec import ImageInput
from hawqlang.stages.data.samples import UInt8
from hawqlang.stages.float_model import FloatModel, pixel_table, predict, preprocess
from hawqlang.stages.import_model.builder import Builder
from hawqlang.stages.import_model.draft import INPUT, Draft
from hawqlang.stages.import_model.materialise import materialise
from hawqlang.stages.import_model.recipes import stored_in


def built(draft: Draft) -> FloatModel:
    rng = np.random.default_rng(0)
    values = {
        recipe.key: np.abs(rng.standard_normal(recipe.shape, dtype=np.float32)) + np.float32(0.1)
        for recipe in stored_in(draft.parameters.values())
    }
    store = TensorStore()
    return FloatModel(materialise(draft, values.__getitem__, store, NOWHERE), store)


def small() -> Draft:
    net = Builder("n", (3, 6, 6))
    x = net.relu("r", net.conv("c", INPUT, 4, 3, bias=True))
    y = net.add("s", x, net.conv("d", x, 4, 1))
    return net.finish(net.linear("fc", net.flatten("f", net.global_mean("g", y)), 5))


def pixels(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def test_graph_without_weights_cannot_run() -> None:
    with pytest.raises(ValueError, match=r"imported without weights: 'c\.weight'"):
        FloatModel(small().graph(), TensorStore())


def test_values_are_kept_on_request_only() -> None:
    model = built(small())
    x = pixels(2)
    run = model.run(x, keep={"r", INPUT, "fc"})
    assert set(run.kept) == {"r", INPUT, "fc"}
    p = model.parameters
    torch.testing.assert_close(run.kept["r"], F.relu(F.conv2d(x, p["c.weight"], p["c.bias"])))
    assert run.kept["fc"] is run.output
    assert run.kept[INPUT] is x


def test_interceptor_sees_every_value_once_in_order_and_may_replace_it() -> None:
    model = built(small())
    seen: list[str] = []

    def double_r(name: str, value: Tensor) -> Tensor:
        seen.append(name)
        return value * 2 if name == "r" else value

    changed = model.run(pixels(2), intercept=double_r).output
    assert seen == [value.name for value in model.graph.values]
    plain = model.run(pixels(2), keep={"r", "s"}).kept
    bias = model.parameters["fc.bias"]
    torch.testing.assert_close(changed - bias, 2 * (model.forward(pixels(2)) - bias))
    assert plain["s"].shape == (2, 4, 4, 4)


def test_parameters_may_be_overridden_and_carry_gradients() -> None:
    model = built(small())
    weight = model.parameters["d.weight"].clone().requires_grad_()
    loss = model.run(pixels(2), parameters={"d.weight": weight}).output.square().sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.abs().sum() > 0
    zero = model.run(pixels(2), parameters={"d.weight": torch.zeros_like(weight)}, keep={"s", "r"})
    torch.testing.assert_close(zero.kept["s"], zero.kept["r"])
    assert not model.forward(pixels(2)).requires_grad


def test_values_are_freed_after_their_last_reader() -> None:
    import gc
    import weakref

    net = Builder("n", (3, 6, 6))
    x = INPUT
    for i in range(5):
        x = net.conv(f"c{i}", x, 3, 3, padding=1)
    model = built(net.finish(net.flatten("f", x)))
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def count(name: str, value: Tensor) -> Tensor:
        nonlocal most
        del name
        alive.append(weakref.ref(value))
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        return value

    with torch.inference_mode():
        model.run(pixels(1), intercept=count)
    assert most <= 3


def test_pooling_with_padding_that_counts_partly() -> None:
    net = Builder("n", (2, 7, 6))
    counted = net.avg_pool("a", INPUT, 3, 2, padding=1, ceil=True)
    other = net.avg_pool("b", INPUT, 3, 2, padding=1, ceil=True, count_padding=False)
    most = net.max_pool("m", INPUT, 3, 2, padding=1, ceil=True)
    draft = net.finish(net.flatten("f", net.concat("t", (counted, other, most))))
    x = torch.randn(2, 2, 7, 6, generator=torch.Generator().manual_seed(1))
    expected = torch.cat(
        [
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=True),
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
            F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        ],
        dim=1,
    )
    torch.testing.assert_close(built(draft).forward(x), expected.flatten(1))


# ---- pixels --------------------------------------------------------------------------------------------------------


def caffe() -> ImageInput:
    return ImageInput(
        height=2,
        width=2,
        mean=(Fraction(104), Fraction(117), Fraction(123)),
        std=(Fraction(1), Fraction(2), Fraction(1, 2)),
        scale=Fraction(1),
        order="bgr",
    )


def test_mean_and_std_are_in_the_networks_order_and_pixels_enter_as_rgb() -> None:
    samples = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    samples[0, 1, 0] = (200, 150, 100)
    seen = preprocess(samples, caffe())
    assert seen.shape == (1, 3, 2, 2)
    assert seen.dtype == torch.float32
    assert seen[0, :, 1, 0].tolist() == [100 - 104, (150 - 117) / 2, (200 - 123) * 2]


def test_pixels_are_exact_to_the_last_bit() -> None:
    kind = ImageInput(
        height=1,
        width=1,
        mean=(Fraction("0.485"), Fraction("0.456"), Fraction("0.406")),
        std=(Fraction("0.229"), Fraction("0.224"), Fraction("0.225")),
    )
    table = pixel_table(kind)
    assert table.shape == (3, 256)
    for channel, pixel in ((0, 0), (1, 77), (2, 255)):
        exact = (Fraction(pixel, 255) - kind.mean[channel]) / kind.std[channel]
        assert table[channel, pixel] == np.float32(float(exact))


class Equal:
    """Two samples whose pixels are all the same."""

    labels = None
    digest = ""

    def __len__(self) -> int:
        return 2

    def batches(self, size: int) -> Iterator[UInt8]:
        for pixel in (3, 200):
            assert size
            yield np.full((1, 2, 2, 1), pixel, dtype=np.uint8)

    def take(self, indices: Sequence[int]) -> UInt8:
        raise NotImplementedError(indices)


def test_predictions_name_the_first_of_equal_logits() -> None:
    net = Builder("n", (1, 2, 2))
    model = built(net.finish(net.flatten("f", net.max_pool("m", INPUT, 1, 1))))
    kind = ImageInput(height=2, width=2, channels=1, mean=(Fraction(0),), std=(Fraction(1),))
    assert predict(model, Equal(), kind).tolist() == [0, 0]
