"""Every diagnostic the compiler can give is explained."""

from __future__ import annotations

import re
from pathlib import Path

from hawqlang.diagnostics.catalogue import entries


def raised(repository: Path) -> set[str]:
    """Codes that stand in the sources, the catalogue's own modules apart."""
    files = [*(repository / "hawqlang").rglob("*.py"), *(repository / "codegen").rglob("*.py")]
    return {
        code
        for file in files
        if not file.name.startswith("codes_")
        for code in re.findall(r'"(HQ\d{3})"', file.read_text(encoding="utf-8"))
    }


def test_every_code_has_an_entry(repository: Path) -> None:
    assert raised(repository) - {entry.code for entry in entries()} == set()


def test_no_entry_is_without_a_use(repository: Path) -> None:
    known = {entry.code for entry in entries()}
    named = {
        code
        for path in [
            *(repository / "hawqlang").rglob("*.py"),
            *(repository / "codegen").rglob("*.py"),
        ]
        if not path.name.startswith("codes_")
        for code in re.findall(r"HQ\d{3}", path.read_text(encoding="utf-8"))
    } | {
        code
        for path in (repository / "grammar" / "errors").iterdir()
        for code in re.findall(r"HQ\d{3}", path.name)
    }
    assert known - named == set()


def test_every_entry_says_why() -> None:
    assert [e.code for e in entries() if not e.title.strip() or not e.cause.strip()] == []
