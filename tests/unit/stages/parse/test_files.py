"""Files: what cannot be opened, is too large, or is no UTF-8."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang.diagnostics.model import ToolError
from hawqlang.stages.parse import parse_file, parse_text

MIB = 1 << 20


def test_a_file_is_shown_by_the_name_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq"
    path.write_bytes(b"\xef\xbb\xbfhawq 1\r\nparam p: t =\r\n")

    tree, diagnostics = parse_file(path, "specs/a.hawq")

    assert tree.file == "specs/a.hawq"
    assert tree.text.startswith("hawq 1")
    assert str(diagnostics[0].span) == "specs/a.hawq:2:13"


@pytest.mark.parametrize("name", ["missing.hawq", "."])
def test_what_cannot_be_opened_is_misuse_of_the_tool(tmp_path: Path, name: str) -> None:
    with pytest.raises(ToolError) as caught:
        parse_file(tmp_path / name, name)

    (found,) = caught.value.diagnostics
    assert (found.code, found.span) == ("HQ100", None)
    assert name in found.message


def test_a_mebibyte_is_read_and_a_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq"
    path.write_bytes(b"hawq 1\n" + b"#" * (MIB - 7))
    assert parse_file(path)[1] == ()

    path.write_bytes(b"hawq 1\n" + b"#" * (MIB - 6))
    tree, diagnostics = parse_file(path)
    assert [d.code for d in diagnostics] == ["HQ102"]
    assert tree.partial


def test_size_is_counted_in_bytes() -> None:
    assert parse_text("hawq 1\n# " + "é" * (MIB // 2 - 5), "a")[1] == ()
    assert [d.code for d in parse_text("hawq 1\n# " + "é" * (MIB // 2), "a")[1]] == ["HQ102"]


@pytest.mark.parametrize(
    ("data", "byte", "column"),
    [
        (b"hawq 1\n# caf\xe9\n", "0xE9", 6),
        ("hawq 1\n# é ".encode() + b"\xff", "0xFF", 5),
        (b"hawq 1\n\xc0\xaf", "0xC0", 1),
        (b"hawq 1\n# \xed\xa0\x80", "0xED", 3),
    ],
)
def test_a_byte_that_is_no_utf8_is_named_and_pointed_at(
    tmp_path: Path, data: bytes, byte: str, column: int
) -> None:
    path = tmp_path / "a.hawq"
    path.write_bytes(data)

    tree, (found,) = parse_file(path)

    assert found.code == "HQ101"
    assert byte in found.message
    assert found.span is not None
    assert (found.span.line, found.span.column) == (2, column)
    assert tree.partial


def test_utf16_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.hawq"
    path.write_bytes("hawq 1\n".encode("utf-16"))

    _, (found,) = parse_file(path)

    assert found.help is not None
    assert "UTF-16" in found.help
