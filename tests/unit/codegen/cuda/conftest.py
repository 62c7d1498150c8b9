"""Fixtures of the CUDA back end's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.codegen.cuda.emulated import script

FAKE_NVCC = """
case "$1" in --version) echo "release $RELEASE"; exit 0;; esac
echo "$*" >> "$LOG"
while [ $# -gt 0 ]; do
  case "$1" in -o) out=$2; shift;; -c) source=$2; shift;; --keep-dir) kept=$2; shift;; esac
  shift
done
if [ -n "$source" ]; then cat "$source" > "$out"; echo "// PTX" > "$kept/x.compute_90.ptx"; else cat *.o > "$out"; fi
"""


@pytest.fixture
def fake_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that copies its input and notes what it was asked for; the log's path."""
    log = tmp_path / "log"
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setenv("RELEASE", "13.0")
    monkeypatch.setenv("NVCC", str(script(tmp_path, FAKE_NVCC)))
    return log
