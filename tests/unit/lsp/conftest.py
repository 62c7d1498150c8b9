"""One server for the tests of a module: the real process, over its standard input and output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.editor import Editor

pytest.importorskip("pygls", reason="the language server needs the extra `lsp`")

LAYERS = [
    {
        "name": f"layer{n}.conv",
        "kind": "conv",
        "params": 1000 * (n + 1),
        "macs": 10**6,
        "sensitivity": {"w4a4": 0.5, "w8a8": 0.125},
    }
    for n in range(5)
]

LIBRARY = """\
hawq 1

param budget: size = 12 KiB

target box {
  device = cpu.x86_64
}
"""

MAIN = """\
hawq 1

import "lib.hawq"

model net {
  source = layers("net.json")
}

# Two comments
# in a row.
quantize net on box as small {
  precision = [w4a4, w8a8]

  weights {
    rounding = nearest
  }

  minimize perturbation within 2%, latency

  subject to {
    fits: size <= budget
    fast: latency <= 99.9% of latency(w8a8) + 1 ns
    tail: each "layer1*": wbits == 4 implies abits >= 8
    many: count(conv where wbits == 4) >= 1
  }

  layer "layer2.conv" {
    precision = w8a8
  }
}
"""


@pytest.fixture(scope="session")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """An editor with a folder open; findings come at once."""
    root = tmp_path_factory.mktemp("editor")
    found = Editor(root, {"debounce": 0, "prove": 0})
    yield found
    assert found.stop() == 0


@pytest.fixture
def project(editor: Editor, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Write files into a folder of the editor's own, and return the prefix of their names."""
    made: list[Path] = []

    def write(**files: str) -> str:
        folder = editor.root / f"p{len(list(editor.root.iterdir()))}"
        folder.mkdir()
        made.append(folder)
        table = {"format_version": 1, "layers": LAYERS}
        (folder / "net.json").write_text(json.dumps(table), encoding="utf-8")
        for name, text in {"lib": LIBRARY, **files}.items():
            (folder / f"{name}.hawq").write_text(text, encoding="utf-8", newline="")
        return folder.name

    return write


@pytest.fixture
def main(editor: Editor, project: Callable[..., str]) -> Iterator[str]:
    """The address of a spec without errors, open."""
    uri = editor.open(f"{project()}/main.hawq", MAIN)
    yield uri
    editor.close(uri)
