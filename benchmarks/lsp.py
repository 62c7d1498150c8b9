"""How long the language server takes to answer after an edit of a spec of 2,000 lines.

The real process, over its standard input and output, with the pause before resolving set to zero. An edit is followed
at once by a request; the clock runs from the edit until its answer, and until the findings of the new text are there.

    python benchmarks/lsp.py [--times N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import ROOT, write_results

sys.path.insert(0, str(ROOT))

from tests.support.editor import Editor, Json, position

LINES = 2000
LIMIT_MS = 100
HEAD = """hawq 1

param budget: size = 6 MiB

model net {
  source = layers("net.json")
}

target server {
  device = cpu.x86_64
}

"""
BUILD = """quantize net on server as build{n} {{
  precision = [w4a4, w8a8]

  weights {{
    granularity = per_channel
    scheme      = symmetric
    rounding    = nearest
  }}

  activations {{
    range = percentile(99.99%)
  }}

  minimize perturbation within 2%, latency

  subject to {{
    fits:   size <= budget
    fast:   latency <= 80% of latency(w8a8) + 1 ms
    ends:   precision(first, last) == w8a8
    steady: switches <= 12
    tail:   each "layer4.*": wbits == 4 implies abits >= 4
    few:    count(all where wbits == 4) <= {n}
  }}

  layer "layer{n}.*" {{
    precision = w8a8
  }}

  emit card
}}

"""
EDITS: Mapping[str, tuple[str, Callable[[int], str]]] = {
    "a number in the middle": (
        "abits >= 4\n    few:",
        lambda n: f"abits >= 4 and abits < {n + 8}\n    few:",
    ),
    "a param that every build uses": ("size = 6 MiB", lambda n: f"size = {n + 7} MiB"),
    "half a statement": (
        "abits >= 4\n    few:",
        lambda n: "abits >=\n    few:" if n % 2 else f"abits >= {n}\n    few:",
    ),
    "an open bracket": (
        "abits >= 4\n    few:",
        lambda n: f"(abits >= {n}\n    few:" if n % 2 else f"abits >= {n}\n    few:",
    ),
    "a line at the top": ("param budget", lambda n: "# one more line\n" * n + "param budget"),
}
"""What stands there first, and what is typed instead the nth time: no text is seen twice."""


def main() -> None:
    """Measure, print and write ``results/lsp.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--times", type=int, default=10, help="how often each edit is made and taken back"
    )
    times: int = parser.parse_args().times
    with tempfile.TemporaryDirectory(prefix="hawqc-lsp-") as name:
        rows = measured(Path(name).resolve(), times)
    for row in rows:
        print(row)
    write_results("lsp", rows)


def spec() -> str:
    """Return a spec of so many lines."""
    text, n = HEAD, 0
    while text.count("\n") < LINES:
        text += BUILD.format(n=n)
        n += 1
    return text


def measured(root: Path, times: int) -> list[dict[str, Any]]:
    """Return a row for every edit."""
    layers = [
        {"name": f"layer{n}.conv", "kind": "conv", "params": 1000, "macs": 10**6} for n in range(60)
    ]
    table = {
        "format_version": 1,
        "layers": [{**one, "sensitivity": {"w4a4": 0.5, "w8a8": 0.1}} for one in layers],
    }
    (root / "net.json").write_text(json.dumps(table), encoding="utf-8")
    editor = Editor(root, {"debounce": 0, "prove": 60_000})
    text = spec()
    uri = editor.open("big.hawq", text)
    editor.findings(uri)
    rows = [
        {
            "edit": name,
            "lines": text.count("\n"),
            **one(editor, uri, text, edit, times),
            "limit_ms": LIMIT_MS,
        }
        for name, edit in EDITS.items()
    ]
    editor.stop()
    return rows


def one(
    editor: Editor, uri: str, text: str, edit: tuple[str, Callable[[int], str]], times: int
) -> dict[str, Any]:
    """Return how long each answer took, in milliseconds."""
    old, typed = edit
    spent: dict[str, list[float]] = {name: [] for name in (*QUESTIONS, "findings")}
    middle = len(text) // 2 if text.count(old) > 1 else 0
    before, after = text[:middle], text[middle:]
    head, tail = after[: after.index(old)], after[after.index(old) + len(old) :]
    current, number = old, 0
    for name, question in QUESTIONS.items():
        for _ in range(times):
            number += 1
            new = typed(number)
            change = replacing(before + head, current, new)
            now = before + head + new + tail
            start = time.perf_counter()
            version = editor.edit(uri, change)
            question(editor, uri, position(now, "size <= budget", 9))
            spent[name].append(time.perf_counter() - start)
            editor.findings(uri, version)
            spent["findings"].append(time.perf_counter() - start)
            current = new
    editor.edit(uri, {"text": text})
    return {name: summary(found) for name, found in spent.items()}


def replacing(before: str, old: str, new: str) -> Json:
    """Return the edit that replaces a piece of a text behind another."""
    corners = (position(before + text + "\0", "\0") for text in ("", old))
    start, end = ({"line": line, "character": character} for line, character in corners)
    return {"range": {"start": start, "end": end}, "text": new}


QUESTIONS: Mapping[str, Callable[[Editor, str, tuple[int, int]], object]] = {
    "completion": lambda editor, uri, where: editor.at("completion", uri, where),
    "hover": lambda editor, uri, where: editor.at("hover", uri, where),
    "symbols": lambda editor, uri, _: editor.about("documentSymbol", uri),
}


def summary(found: list[float]) -> dict[str, float]:
    """Return the median and the 95th percentile in milliseconds."""
    ordered = sorted(found)
    high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"median": round(1000 * statistics.median(ordered), 1), "p95": round(1000 * high, 1)}


if __name__ == "__main__":
    main()
