"""Feeds mutated specs to the parser, the resolver and the formatter: a run of hours, outside of the tests.

    pip install atheris
    python tests/fuzz/fuzz_language.py -max_total_time=3600 [CORPUS_FOLDER]

Options are libFuzzer's. The corpus starts with all specs of the repository. Whatever is not a diagnostic
is a finding: an exception, a formatted text that says something else or is formatted differently again, a
fix that cannot be applied. Input that shows it is left in `crash-…` in the working directory.

Without atheris, `--plain SECONDS` mutates the same corpus by chance, without feedback from coverage.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.fuzz.driver import run  # noqa: E402

KINDS = ("specs", "docs/examples", "tests/spec_cases", "grammar/errors")
PIECES = ("{", "}", "(", ")", "[", "]", ",", "=", ":", "\n", '"', "#", "\\u{", "except", "implies")


def corpus() -> list[bytes]:
    """Return every spec of the repository, right or wrong."""
    return [path.read_bytes() for kind in KINDS for path in sorted((ROOT / kind).rglob("*.hawq"))]


class Target:
    """What is fed: a folder in which each input is a spec."""

    def __init__(self, folder: Path) -> None:
        self.spec = folder / "spec.hawq"
        (folder / ".git").mkdir()

    def __call__(self, data: bytes) -> None:
        """Take one input; anything raised is a finding."""
        from hawqlang.diagnostics.apply import apply_fixes
        from hawqlang.diagnostics.formats import render
        from hawqlang.stages.format import format_bytes
        from hawqlang.stages.resolve import resolve

        self.spec.write_bytes(data)
        found = resolve(self.spec)
        for shape in ("text", "json", "sarif", "github"):
            render(found.diagnostics, found.sources, shape).encode("utf-8")
        text = found.sources[str(self.spec)]
        apply_fixes(text, [d.fix for d in found.diagnostics if d.fix is not None])
        once = format_bytes(data, "spec.hawq").text
        if once is not None and format_bytes(once.encode(), "spec.hawq").text != once:
            raise AssertionError("formatted differently the second time")


def plain(target: Target, seconds: float) -> int:
    """Mutate the corpus by chance for some time, and return how many inputs were tried."""
    import numpy as np

    rng = np.random.default_rng(0)
    texts, tried, end = corpus(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = texts[rng.integers(len(texts))]
        for _ in range(rng.integers(1, 5)):
            start = int(rng.integers(len(data) + 1))
            stop = min(len(data), start + int(rng.integers(0, 20)))
            other = texts[rng.integers(len(texts))]
            begin = int(rng.integers(len(other) + 1))
            choice = (
                PIECES[rng.integers(len(PIECES))].encode(),
                other[begin : begin + int(rng.integers(0, 30))],
                rng.bytes(int(rng.integers(0, 4))),
                b"",
            )
            data = data[:start] + choice[rng.integers(4)] + data[stop:]
        try:
            target(data)
        except Exception:
            Path(f"crash-plain-{tried}").write_bytes(data)
            raise
        tried += 1
    return tried


def seeds(atheris: Any, folder: Path) -> list[str]:
    """Write the specs of the repository as a corpus, and let atheris see into the compiler."""
    found = folder / "corpus"
    found.mkdir()
    for number, text in enumerate(corpus()):
        (found / str(number)).write_bytes(text)
    with atheris.instrument_imports(include=["hawqlang"]):
        import_module("hawqlang.stages.format")
        import_module("hawqlang.stages.resolve")
    return [str(found)]


if __name__ == "__main__":
    run(Target, plain, seeds)
