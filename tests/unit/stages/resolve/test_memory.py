"""Resolving after an edit gives exactly what resolving the whole spec gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang.stages.parse import Parsed, parse_file
from hawqlang.stages.parse.pieces import Pieces
from hawqlang.stages.resolve import Resolution, resolve
from hawqlang.stages.resolve.memory import Memory

SPEC = """\
hawq 1

param budget: size = 6 KiB
param words: string = "adaptive"

model net {
  source = onnx("net.onnx")
  input = image(8, 8)
}

target box {
  device = cpu.x86_64
}

quantize net on box as one {
  minimize size
  precision = [w4a4, w8a8]
  weights {
    rounding = words
  }
  subject to {
    fits: size <= budget
  }
}

quantize net on box as two {
  minimize size
  precision = [w4a4, w8a8]
  subject to {
    fits: size <= 2 * budget
    ends: wbits(first, "last*") == 8
  }
}
"""


class Buffer:
    """A spec that is edited in memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, SPEC
        self._pieces = Pieces(str(path))
        self._memory = Memory()

    def parse(self, real: Path, shown: str) -> Parsed:
        return self._pieces.parse(self.text) if real == self.path else parse_file(real, shown)

    def has(self, real: Path) -> bool:
        return real == self.path

    def digest(self, real: Path) -> str:
        return str(real)

    def resolve(self, text: str, *, remember: bool = True) -> Resolution:
        self.text = text
        memory = self._memory if remember else None
        return resolve(self.path, reader=self, memory=memory)


EDITS = (
    ("fits: size <= budget", "fits: size <= bugdet"),
    ("fits: size <= budget", "fits: siez <= bugdet"),
    ("= 6 KiB", "= 6 ms"),
    ("= 6 KiB", "= 7 KiB"),
    ("size <= budget", "size <= <= budget"),
    ("as two", "as one"),
    ("param budget", "\n\nparam budget"),
    ("device = cpu.x86_64", "device = nvidia.t4"),
    ("  input = image(8, 8)\n", ""),
    ("rounding = words", "rounding = nearest"),
)


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_an_edit_is_resolved_like_a_new_spec_and_so_is_its_undoing(
    tmp_path: Path, old: str, new: str
) -> None:
    buffer = Buffer(tmp_path / "spec.hawq")
    buffer.resolve(SPEC)
    for text in (SPEC.replace(old, new), SPEC, SPEC.replace(old, new)):
        remembered, fresh = buffer.resolve(text), buffer.resolve(text, remember=False)

        assert remembered.spec == fresh.spec
        assert remembered.diagnostics == fresh.diagnostics
        assert remembered.index.uses == fresh.index.uses
        assert remembered.index.sides == fresh.index.sides
        assert remembered.index.selectors == fresh.index.selectors


def test_a_build_that_nobody_touched_is_kept(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path / "spec.hawq")
    before = buffer.resolve(SPEC).index.builds

    after = buffer.resolve(SPEC.replace("2 * budget", "3 * budget")).index.builds

    assert after["one"] is before["one"]
    assert after["two"] is not before["two"]
