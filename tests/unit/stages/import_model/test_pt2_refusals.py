"""Archives that cannot be read are diagnostics: damaged ones, hostile ones, and networks that have no integer form."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.stages.import_model import import_structure
from tests.support.exports import edited, pt2_model, repacked, save_pt2
from tests.support.imports import image, imported, only


class Small(nn.Module):
    """A network that is read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pt2(Small().eval(), tmp_path_factory.mktemp("pt2") / "net.pt2", (3, 8, 8))


def refused(path: Path, *, weights: bool = False) -> Diagnostic:
    with pytest.raises(HawqError) as caught:
        (imported if weights else import_structure)(pt2_model(path, image(8, 8)))
    return only(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "net.pt2").code == "HQ301"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x80\x02pickle"])
def test_file_that_is_no_zip(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(content)
    found = refused(tmp_path / "net.pt2")
    assert found.code == "HQ341"
    assert found.help == "write it with torch.export.save(torch.export.export(…), path)"


def test_state_dict_is_told_from_a_network(tmp_path: Path) -> None:
    torch.save(Small().state_dict(), tmp_path / "net.pt2")
    assert "pickle" in refused(tmp_path / "net.pt2").message


def test_compressed_entries_are_refused_before_they_are_unpacked(
    good: Path, tmp_path: Path
) -> None:
    def bomb(name: str, content: bytes) -> bytes:
        return b" " * 50_000_000 if name == "models/model.json" else content

    path = repacked(good, tmp_path / "net.pt2", bomb, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    assert "compressed" in refused(path).message


def test_entries_that_overlap_are_refused(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(good) as old:
        for info in old.infolist():
            archive.writestr(info.filename, old.read(info))
        archive.writestr("net/big", b"0" * 100_000)
        big = archive.getinfo("net/big")
        for i in range(3):
            twin = zipfile.ZipInfo(f"net/twin{i}")
            twin.header_offset, twin.CRC = big.header_offset, big.CRC
            twin.file_size = twin.compress_size = big.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    assert "overlap" in refused(path).message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "its model.json is not valid JSON"),
        (b"[" * 100_000, "its model.json is not valid JSON"),
        (b"[]", "model.json is no object"),
        (b'{"schema_version": {"major": 8}}', "graph_module is no object"),
        (b'{"schema_version": {"major": 99}}', "version 99; version 8 is read"),
        (None, "it holds no network"),
    ],
)
def test_damaged_description(content: bytes | None, said: str, good: Path, tmp_path: Path) -> None:
    def change(name: str, old: bytes) -> bytes | None:
        return content if name == "models/model.json" else old

    found = refused(repacked(good, tmp_path / "net.pt2", change))
    assert found.code == "HQ341"
    assert said in found.message


def weights_changed(good: Path, target: Path, **fields: Any) -> Path:
    """A copy whose convolution's weight is described otherwise."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("model_weights_config.json"):
            return content
        config = json.loads(content)
        entry = config["config"]["conv.weight"]
        for key, value in fields.items():
            (entry if key in entry else entry["tensor_meta"])[key] = value
        return json.dumps(config).encode()

    return repacked(good, target, change)


HUGE = [{"as_int": 2**40}] * 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"use_pickle": True}, "is stored as a pickle"),
        ({"path_name": "../../../etc/passwd"}, "is cut off"),
        ({"storage_offset": {"as_int": 1}}, "is cut off"),
        ({"storage_offset": {"as_int": -1}}, "has a size that is no number"),
        ({"sizes": HUGE, "strides": [{"as_int": 0}] * 4}, "does not fit what is stored"),
        ({"sizes": HUGE}, "is cut off"),
        ({"sizes": [{"as_expr": "s0"}] * 4}, "is no whole number"),
        ({"dtype": 9}, "of an unknown type"),
        ({"layout": 1}, "is sparse"),
    ],
)
def test_tensor_that_is_not_what_is_stored(
    fields: dict[str, Any], said: str, good: Path, tmp_path: Path
) -> None:
    found = refused(weights_changed(good, tmp_path / "net.pt2", **fields))
    assert found.code == "HQ341"
    assert "tensor 'conv.weight'" in found.message or "a size of tensor" in found.message
    assert said in found.message


def test_damaged_weights_are_found_when_they_are_read(good: Path, tmp_path: Path) -> None:
    content = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("weights/weight_0"))
        place = content.index(archive.read(info))
    content[place] ^= 255
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    import_structure(pt2_model(path, image(8, 8)))
    found = refused(path, weights=True)
    assert found.code == "HQ341"
    assert "damaged" in found.message


def test_names_with_control_characters_are_made_printable(good: Path, tmp_path: Path) -> None:
    def edit(description: dict[str, Any]) -> None:
        nodes = description["graph_module"]["graph"]["nodes"]
        relu = next(n for n in nodes if "relu" in n["target"])
        relu["target"] = "torch.ops.aten.gelu\x1b[31m.default"

    found = refused(edited(good, tmp_path / "net.pt2", edit))
    assert found.code == "HQ320"
    assert found.message.isprintable()
    assert "aten.gelu?[31m.default" in found.message


def test_nodes_that_read_what_comes_later_are_refused(good: Path, tmp_path: Path) -> None:
    def edit(description: dict[str, Any]) -> None:
        nodes = description["graph_module"]["graph"]["nodes"]
        nodes[0]["inputs"][0]["arg"] = {"as_tensor": {"name": "relu"}}

    found = refused(edited(good, tmp_path / "net.pt2", edit))
    assert "reads '%relu', which nothing before it gives" in found.message


# ---- networks that have no integer form --------------------------------------------------------------------


class Wrong(nn.Module):
    """Runs one thing that is not read between two that are."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3)
        self.turn = nn.ConvTranspose2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        match self.kind:
            case "operator":
                y = torch.erf(y)
            case "transposed":
                y = self.turn(y)
            case "adaptive":
                y = nn.functional.adaptive_avg_pool2d(y, 4)
            case "alpha":
                y = torch.add(y, y, alpha=2)
            case "view":
                z = y.view(y.shape[0], -1)
                y.relu_()
                return z
            case "branch":
                cond = cast("Any", torch.cond)
                y = cond(y.sum() > 0, lambda v: v + 1, lambda v: v - 1, (y,))
            case "dropout":
                y = nn.functional.dropout(y, training=True)
            case "reflect":
                y = nn.functional.pad(y, (1, 1, 1, 1), mode="reflect")
            case "integers":
                y = y.to(torch.int32).to(torch.float32)
            case _:
                return y.mean((2, 3)), y.amax((2, 3))  # pyright: ignore[reportReturnType]
        return y.mean((2, 3))


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("operator", "HQ320", "(aten.erf.default): operator 'aten.erf.default' is not supported"),
        ("transposed", "HQ320", "operator 'aten.conv_transpose2d.input' is not supported"),
        ("adaptive", "HQ321", "its windows differ: it pools 6 elements into 4"),
        ("alpha", "HQ321", "alpha"),
        ("view", "HQ321", "overwritten in place through another view"),
        ("branch", "HQ320", "(higher_order.cond): it is control flow"),
        ("dropout", "HQ321", "training mode"),
        ("reflect", "HQ321", "something else than zeros"),
        ("integers", "HQ321", "changes its input into integers"),
        ("two", "HQ323", "has 2 outputs where one is expected"),
    ],
)
def test_network_without_integer_form(kind: str, code: str, said: str, tmp_path: Path) -> None:
    path = save_pt2(Wrong(kind).eval(), tmp_path / "net.pt2", (3, 8, 8))
    with pytest.raises(HawqError) as caught:
        import_structure(pt2_model(path, image(8, 8)))
    found = [d for d in caught.value.diagnostics if d.code == code]
    assert any(said in f"{d.message} {d.help}" for d in found)


def test_dynamic_height_and_width_are_refused(tmp_path: Path) -> None:
    path = save_pt2(Small().eval(), tmp_path / "net.pt2", (3, 8, 8), spatial=True)
    found = refused(path)
    assert found.code == "HQ312"
    assert (
        found.help
        == "export with a fixed height and width; only the first dimension may be dynamic"
    )


def test_training_mode_is_told_from_a_missing_operator(tmp_path: Path) -> None:
    found = refused(save_pt2(Small().train(), tmp_path / "net.pt2", (3, 8, 8)))
    assert found.help is not None
    assert "model.eval()" in found.help


def test_another_size_than_the_exported_one_is_an_error(good: Path) -> None:
    with pytest.raises(HawqError) as caught:
        import_structure(pt2_model(good, image(9, 8)))
    assert only(caught.value).code == "HQ312"
