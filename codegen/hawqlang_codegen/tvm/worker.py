"""Compile TVMScript modules to objects: called directly, or as a process that reads its jobs from standard input."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = "@I.ir_module"
"""Before it a file defines the helpers that its kernels call."""


def compile_one(text: str, target: Mapping[str, Any], path: Path) -> None:
    """Write the object of a TVMScript module to ``path``."""
    import tvm

    features: Any = dict(target)
    compiled: Any = tvm.compile(parse(text), target=features)
    compiled.mod.write_to_file(str(path), "o")


def parse(text: str) -> Any:
    """Return the IRModule that a generated text defines.

    Importing the text as a file gives the same, but TVM then inspects the Python stack once per function, which
    doubles the time.
    """
    from tvm.script import from_source

    helpers, mark, kernels = text.partition(MARK)
    names: dict[str, Any] = {}
    exec(compile(helpers, "kernels", "exec"), names)  # noqa: S102 - our own generated text
    return from_source(mark + kernels, extra_vars=names, s_tir=True)


def main() -> None:
    """Compile every job of a JSON list on standard input.

    TVM imports torch where it is installed, though only to exchange arrays with it: two thirds of the start.
    """
    sys.modules["torch"] = None  # pyright: ignore[reportArgumentType] - what is None cannot be imported
    gc.set_threshold(100_000, 50, 100)  # reading text makes many objects and little garbage
    for job in json.load(sys.stdin):
        compile_one(job["text"], job["target"], Path(job["path"]))


if __name__ == "__main__":
    main()
