"""Every code that calibration, sensitivity, tuning and latency profiles use is explained."""

from __future__ import annotations

import re
from pathlib import Path

from hawqlang.diagnostics.codes_41x import ENTRIES


def test_codes_in_use_are_those_in_the_catalogue(repository: Path) -> None:
    stages = repository / "hawqlang" / "stages"
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("calibrate", "sensitivity", "tune")
        for path in (stages / folder).glob("*.py")
    ]
    sources.append((stages / "candidates" / "profiled.py").read_text(encoding="utf-8"))
    used = {code for text in sources for code in re.findall(r'"(HQ\d+)"', text)}
    assert used == {entry.code for entry in ENTRIES}


def test_every_entry_shows_a_case_and_its_mending() -> None:
    for entry in ENTRIES:
        assert entry.example != entry.mended
        assert entry.title[0].islower()
        assert entry.cause.endswith(".")
