"""Codes that are optimised mean to the network what the same stored codes mean."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hawqlang.ir.spec import ImageInput, Input, TensorInput
from hawqlang.stages.float_model import preprocess
from hawqlang.stages.zero_shot.codes import codes_of


def picture(order: str, scale: Fraction) -> ImageInput:
    return ImageInput.model_validate(
        {
            "height": 4,
            "width": 5,
            "mean": (Fraction(1, 2), Fraction(1, 3), Fraction(1, 4)),
            "std": (Fraction(1, 5), Fraction(1, 6), Fraction(1, 7)),
            "scale": scale,
            "order": order,
        }
    )


KINDS: tuple[Input, ...] = (
    picture("rgb", Fraction(1, 255)),
    picture("bgr", Fraction(1)),
    TensorInput(dims=(3, 4, 5), low=Fraction(-1), high=Fraction(2)),
    TensorInput(dims=(7,), low=Fraction(0), high=Fraction(2)),
)


@pytest.mark.parametrize("kind", KINDS, ids=["rgb", "bgr", "map", "vector"])
def test_stored_codes_are_seen_as_the_optimised_ones_were(kind: Input) -> None:
    shape = (2, 7) if isinstance(kind, TensorInput) and len(kind.dims) == 1 else (2, 3, 4, 5)
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape)).float()
    made = codes_of(kind)
    stored = made.stored(codes)
    assert stored.dtype == np.uint8
    seen = preprocess(stored, kind)
    torch.testing.assert_close(made.seen(codes), seen, rtol=1e-5, atol=1e-5)


def test_stored_codes_are_rounded_and_kept_in_range() -> None:
    codes = torch.tensor([[-3.0, 0.4, 0.6, 254.6, 300.0, 1.0, 2.0]])
    np.testing.assert_array_equal(codes_of(KINDS[3]).stored(codes), [[0, 0, 1, 255, 255, 1, 2]])
