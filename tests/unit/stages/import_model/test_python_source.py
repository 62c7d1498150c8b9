"""Networks that Python code makes: exported inside, and every failure told with the user's own line."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import Model, PythonCall
from hawqlang.stages.import_model import import_model
from hawqlang.stages.import_model.python_source import code_files
from tests.support.imports import image, model_of, only

NETS = """\
import torch
from torch import nn

WIDTHS = {"small": 4}


class Net(nn.Module):
    def __init__(self, width=4, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, int(width), 3)
        self.drop = nn.Dropout()
        self.fc = nn.Linear(int(width), classes)

    def forward(self, x):
        return self.fc(self.drop(self.conv(x).relu().mean((2, 3))))


class Branches(Net):
    def forward(self, x):
        if x.sum() > 0:
            return super().forward(x)
        return x.mean((2, 3))


def build(width=4):
    print("building")
    return Net(width)


def fails():
    return WIDTHS["large"]


def state():
    return Net().state_dict()


def stops():
    raise SystemExit(3)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS, encoding="utf-8")
    return tmp_path


def declared(project: Path, factory: str, weights: Path | None = None, **arguments: int) -> Model:
    given = tuple((name, Fraction(value)) for name, value in arguments.items())
    call = PythonCall(factory=factory, arguments=given, folder=str(project))
    return model_of(call, image(6, 6), weights)


def read(model: Model) -> Graph:
    return import_model(model, TensorStore(), trust=True)


def refused(model: Model) -> Diagnostic:
    with pytest.raises(HawqError) as caught:
        read(model)
    return only(caught.value)


def test_module_is_exported_in_inference_mode(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = read(declared(project, "nets:build", width=6))
    assert [n.name for n in graph.nodes if n.op in ("conv2d", "linear")] == ["conv", "fc"]
    assert graph.shape("conv") == (6, 4, 4)
    assert graph.notes == ("dropout 'drop' removed",)
    assert capsys.readouterr().out == ""


def test_weights_come_from_the_weight_file(project: Path) -> None:
    sys.path.insert(0, str(project))
    try:
        import nets  # pyright: ignore[reportMissingImports]

        net = nets.Net()
    finally:
        sys.path.remove(str(project))
    torch.save(net.state_dict(), project / "w.pt")
    store = TensorStore()
    graph = import_model(declared(project, "nets:Net", project / "w.pt"), store, trust=True)
    weight = next(p for p in graph.parameters if p.name == "fc.weight")
    assert weight.ref is not None
    np.testing.assert_array_equal(store.get(weight.ref), net.fc.weight.detach().numpy())


def test_nothing_runs_without_trust(project: Path) -> None:
    (project / "nets.py").write_text("raise AssertionError\n", encoding="utf-8")
    with pytest.raises(HawqError) as caught:
        import_model(declared(project, "nets:build"), TensorStore())
    assert only(caught.value).code == "HQ340"


@pytest.mark.parametrize(
    ("factory", "code", "said", "place"),
    [
        ("nets:fails", "HQ342", "KeyError: 'large'", "raised at nets.py:31, in fails"),
        ("nets:stops", "HQ342", "SystemExit: 3", "raised at nets.py:39, in stops"),
        ("nets:bilud", "HQ342", "has no attribute 'bilud'", None),
        ("nets:WIDTHS", "HQ342", "WIDTHS is not callable", None),
        ("absent:build", "HQ342", "No module named 'absent'", None),
        ("nets:state", "HQ343", "'OrderedDict', which is no torch.nn.Module", None),
        ("nets:Branches", "HQ344", "exporting what 'nets:Branches' gives fails", "nets.py:20"),
    ],
)
def test_failures_name_the_users_line(
    factory: str, code: str, said: str, place: str | None, project: Path
) -> None:
    found = refused(declared(project, factory))
    assert found.code == code
    assert said in found.message
    if place is None:
        assert found.notes == ()
    else:
        assert place in found.notes[0]


def test_a_syntax_error_names_its_line(project: Path) -> None:
    (project / "nets.py").write_text("x = 1\nif x\n", encoding="utf-8")
    found = refused(declared(project, "nets:build"))
    assert found.code == "HQ342"
    assert found.notes == ("raised at nets.py:2",)


def test_a_changed_module_is_read_again(project: Path) -> None:
    assert read(declared(project, "nets:build")).shape("conv")[0] == 4
    (project / "nets.py").write_text(NETS.replace("width=4)", "width=8)"), encoding="utf-8")
    assert read(declared(project, "nets:build")).shape("conv")[0] == 8
    assert "nets" not in sys.modules


def test_code_files_are_those_of_the_factorys_package(project: Path) -> None:
    package = project / "lib"
    package.mkdir()
    for name in ("__init__.py", "b.py", "notes.txt"):
        (package / name).touch()
    single = PythonCall(factory="nets:build", folder=str(project))
    whole = PythonCall(factory="lib.b:build", folder=str(project))
    foreign = PythonCall(factory="torch.nn:ReLU", folder=str(project))
    assert code_files(single) == (project / "nets.py",)
    assert code_files(whole) == (package / "__init__.py", package / "b.py")
    assert code_files(foreign) == ()
