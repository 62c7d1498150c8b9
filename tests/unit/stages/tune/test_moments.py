"""Sums of products that stand for the samples of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hawqlang.ir.graph import Conv2d, Linear
from hawqlang.stages.float_model import evaluate
from hawqlang.stages.tune import moments
from hawqlang.stages.tune.moments import Moments, Sums, columns, pooled, rows_of, wanted


def conv(kernel: int, stride: int, groups: int, padding: Any, dilation: int) -> Conv2d:
    return Conv2d(
        name="c",
        x="x",
        output="c",
        weight="w",
        bias=None,
        stride=(stride, stride),
        padding=padding,
        dilation=(dilation, dilation),
        groups=groups,
    )


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "padding", "dilation"),
    [
        (3, 1, 1, (1, 1, 1, 1), 1),
        (3, 2, 1, (0, 0, 1, 1), 1),
        (3, 1, 6, (1, 1, 1, 1), 1),
        (1, 2, 2, (0, 0, 0, 0), 1),
        (3, 1, 1, (2, 2, 2, 2), 2),
        (5, 3, 3, (2, 1, 0, 2), 1),
    ],
)
def test_a_convolution_is_its_weight_times_the_columns(
    kernel: int, stride: int, groups: int, padding: Any, dilation: int
) -> None:
    node = conv(kernel, stride, groups, padding, dilation)
    x, weight = drawn(3, 6, 11, 13), drawn(12, 6 // groups, kernel, kernel, seed=1)
    full = evaluate(node, {"x": x}, {"w": weight})
    positions = torch.tensor([0, 3, full.shape[2] * full.shape[3] - 1])
    got = columns(node, x, (kernel, kernel), positions) @ rows_of(node, weight).mT
    expected = wanted(node, full.flatten(2)[:, :, positions])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 3])
def test_the_error_is_that_of_the_samples(groups: int) -> None:
    x, y = drawn(groups, 70, 5), drawn(groups, 70, 2, seed=1)
    sums = Sums(groups, 2, 5)
    sums.add(x[:, :30], y[:, :30])
    sums.add(x[:, 30:], y[:, 30:])
    found = sums.moments()
    weight, bias = drawn(groups, 2, 5, seed=2).double(), drawn(groups, 2, seed=3).double()
    got = x.double() @ weight.mT + bias[:, None, :]
    expected = (got - y.double()).square().mean(1).sum()
    assert found.count == 70
    assert found.error(weight, bias) == pytest.approx(float(expected), rel=1e-5)


def test_the_bias_of_a_weight_gives_the_wanted_mean_and_is_the_best() -> None:
    x, y = drawn(1, 200, 4), drawn(1, 200, 3, seed=1)
    sums = Sums(1, 3, 4)
    sums.add(x, y)
    found, weight = sums.moments(), drawn(1, 3, 4, seed=2).double()
    bias = found.bias(weight)
    np.testing.assert_allclose(
        (x.double() @ weight.mT + bias[:, None]).mean(1), y.mean(1), atol=1e-5
    )
    for change in (-0.1, 0.1):
        assert found.error(weight, bias + change) > found.error(weight, bias)


def test_sums_do_not_depend_on_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = drawn(2, 500, 6), drawn(2, 500, 3, seed=1)
    whole = Sums(2, 3, 6)
    whole.add(x, y)
    monkeypatch.setattr(moments, "ROWS", 37)
    parts = Sums(2, 3, 6)
    parts.add(x, y)
    np.testing.assert_allclose(whole.moments().xx, parts.moments().xx, rtol=1e-5, atol=1e-5)


def test_inputs_that_never_vary_have_no_second_moment() -> None:
    sums = Sums(1, 1, 2)
    for _ in range(3):
        sums.add(torch.tensor([[[1e4, 7.3]] * 500]), torch.full((1, 500, 1), 0.1))
    found = sums.moments()
    np.testing.assert_array_equal(found.xx, np.zeros((1, 2, 2)))
    np.testing.assert_allclose(found.x, [[1e4, 7.3]], rtol=1e-6)


def test_with_a_given_bias_moments_are_taken_about_zero() -> None:
    x, y, bias = drawn(1, 50, 3) + 2, drawn(1, 50, 2, seed=1), drawn(1, 2, seed=2).double()
    sums = Sums(1, 2, 3)
    sums.add(x, y)
    xx, yx = sums.moments().about(bias)
    rest = y.double() - bias[:, None]
    np.testing.assert_allclose(xx, x.double().mT @ x.double() / 50, rtol=1e-5)
    np.testing.assert_allclose(yx, rest.mT @ x.double() / 50, rtol=1e-4, atol=1e-5)


def test_a_linear_layer_is_one_group_of_its_inputs() -> None:
    node = Linear(name="l", x="x", output="l", weight="w", bias=None)
    x = drawn(4, 6)
    np.testing.assert_array_equal(columns(node, x, (1, 1), torch.zeros(1)), x[None])


def test_pooled_moments_are_those_of_all_columns_together() -> None:
    x, y = drawn(2, 90, 5) + 4, drawn(2, 90, 3, seed=1) - 2

    def summed(part: slice) -> Moments:
        sums = Sums(2, 3, 5)
        sums.add(x[:, part], y[:, part])
        return sums.moments()

    got, whole = pooled(summed(slice(0, 20)), summed(slice(20, 90))), summed(slice(0, 90))
    assert got.count == whole.count == 90
    for name in ("xx", "yx", "yy", "x", "y"):
        np.testing.assert_allclose(getattr(got, name), getattr(whole, name), rtol=1e-5, atol=1e-5)
    one, none = summed(slice(0, 20)), Sums(2, 3, 5).moments()
    np.testing.assert_allclose(pooled(one, none).xx, one.xx)
