from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.base import Span
from hawqlang.diagnostics import HawqError
from hawqlang.ir.spec import Input, PythonCall, PythonData
from hawqlang.stages.data import open_samples
from hawqlang.stages.data.arrays import to_codes
from tests.support.imports import image, vector

SPAN = Span(file="d.hawq", line=2, column=1, end_line=2, end_column=9)
CODE = """\
import numpy as np
import torch
from PIL import Image

X = np.arange(5 * 4 * 3 * 3, dtype=np.uint8).reshape(5, 4, 3, 3)
Y = np.array([0, 1, 2, 1, 0])


class Set(torch.utils.data.Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        if i >= 5:
            raise IndexError(i)
        return torch.from_numpy(X[i]).permute(2, 0, 1), int(Y[i])


def array(): return X
def pair(): return X, Y
def pictures(): return [Image.fromarray(x) for x in X]
def generator(): return ((x, y) for x, y in zip(X, Y))
def floats(): return X / 255.0
def narrow(): return X[:, :2]
def none(): return X[:0]
def few(): return X, Y[:2]
def beyond(): return X, Y + 7
def broken(): return [x[9] for x in X]
def nothing(): return None
def late():
    yield X[0]
    raise OSError("disk")
def reals(): return np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
def gaps(): return np.full((2, 6), np.nan, dtype=np.float32)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sets.py").write_text(CODE, encoding="utf-8")
    return tmp_path


def data(project: Path, name: str) -> PythonData:
    return PythonData(call=PythonCall(factory=f"sets:{name}", folder=str(project)), span=SPAN)


X = np.arange(5 * 4 * 3 * 3, dtype=np.uint8).reshape(5, 4, 3, 3)


@pytest.mark.parametrize(
    ("name", "labelled"),
    [("array", False), ("pair", True), ("pictures", False), ("generator", True), ("Set", True)],
)
def test_samples_in_every_form_are_the_same(project: Path, name: str, labelled: bool) -> None:
    samples = open_samples(data(project, name), image(4, 3), classes=3, trust=True)
    assert len(samples) == 5
    np.testing.assert_array_equal(np.concatenate(list(samples.batches(2))), X)
    np.testing.assert_array_equal(samples.take([3, 0]), X[[3, 0]])
    if labelled:
        assert samples.labels is not None
        np.testing.assert_array_equal(samples.labels, [0, 1, 2, 1, 0])
    else:
        assert samples.labels is None
    again = open_samples(data(project, "array"), image(4, 3), trust=True)
    assert samples.digest == again.digest


def test_real_values_of_a_tensor_input_become_codes(project: Path) -> None:
    samples = open_samples(data(project, "reals"), vector(6), trust=True)
    codes = next(samples.batches(2))
    reals = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
    np.testing.assert_array_equal(codes, to_codes(reals, vector(6)))


@pytest.mark.parametrize(
    ("name", "kind", "code", "said"),
    [
        ("floats", image(4, 3), "HQ405", "sample 0 of 'sets:floats' holds float64, not uint8"),
        ("narrow", image(4, 3), "HQ406", "has shape 2 x 3 x 3, but the network takes 4 x 3 x 3"),
        ("none", image(4, 3), "HQ402", "holds no samples"),
        ("few", image(4, 3), "HQ407", "2 labels for 5 samples"),
        ("beyond", image(4, 3), "HQ408", "outside 0 to 2"),
        ("broken", image(4, 3), "HQ342", "calling 'sets:broken' fails: IndexError"),
        ("nothing", image(4, 3), "HQ342", "fails: TypeError"),
        ("late", image(4, 3), "HQ342", "fails: OSError: disk"),
        ("gaps", vector(6), "HQ409", "NaN or infinity"),
    ],
)
def test_what_is_no_set_of_samples(
    project: Path, name: str, kind: Input, code: str, said: str
) -> None:
    with pytest.raises(HawqError) as caught:
        open_samples(data(project, name), kind, classes=3, trust=True)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert said in found.message
    assert found.span == SPAN


def test_failures_while_samples_are_gone_through_name_the_line(project: Path) -> None:
    with pytest.raises(HawqError) as caught:
        open_samples(data(project, "late"), image(4, 3), trust=True)
    line = next(i for i, text in enumerate(CODE.splitlines(), 1) if "OSError" in text)
    assert caught.value.diagnostics[0].notes == (f"raised at sets.py:{line}, in late",)


def test_no_code_runs_without_trust(project: Path) -> None:
    (project / "sets.py").write_text("raise AssertionError\n", encoding="utf-8")
    with pytest.raises(HawqError) as caught:
        open_samples(data(project, "array"), image(4, 3))
    assert caught.value.diagnostics[0].code == "HQ400"
