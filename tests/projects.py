"""A project in a folder, and specs resolved in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hawqlang.diagnostics import Diagnostic
from hawqlang.ir import spec
from hawqlang.stages.resolve import resolve_file


@dataclass(frozen=True)
class Project:
    """A folder with the files that specs of the tests name."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        """Write a spec, its first statement added."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"hawq 1\n{text}\n", encoding="utf-8")
        return path

    def resolve(
        self, text: str, *, overrides: Mapping[str, str] | None = None, trust: bool = False
    ) -> tuple[spec.Spec | None, tuple[Diagnostic, ...]]:
        """Resolve a text as ``spec.hawq``."""
        return resolve_file(self.write("spec.hawq", text), overrides=overrides or {}, trust=trust)

    def spec(
        self, text: str, *, overrides: Mapping[str, str] | None = None, trust: bool = False
    ) -> spec.Spec:
        """Resolve a text that has no errors."""
        found, diagnostics = self.resolve(text, overrides=overrides, trust=trust)
        assert found is not None, diagnostics
        return found

    def found(self, text: str) -> list[str]:
        """Return the codes of everything found, in order."""
        return [diagnostic.code for diagnostic in self.resolve(text)[1]]

    def only(self, text: str) -> Diagnostic:
        """Return the one diagnostic a text has."""
        diagnostics = self.resolve(text)[1]
        assert len(diagnostics) == 1, diagnostics
        return diagnostics[0]

    def table(self, body: str, before: str = "") -> str:
        """Return a spec around the statements of the quantize block of a table of layers."""
        return (
            f'{before}\nmodel net {{ source = layers("net.json") }}\n'
            "target box { device = cpu.x86_64 }\n"
            f"quantize net on box {{\n{body}\n}}"
        )

    def constrained(self, constraint: str, before: str = "") -> str:
        """Return a spec with one constraint, ``c``."""
        body = f"precision = [w4a4, w8a8]\nsubject to {{\nc: {constraint}\n}}"
        return self.table(body, before)

    def constraint(self, constraint: str, before: str = "") -> spec.Predicate:
        """Return the typed form of one constraint."""
        return self.spec(self.constrained(constraint, before)).builds[0].constraints[0].predicate

    def network(self, dataset: str, body: str = "precision = w8a8") -> str:
        """Return a spec of a network with a dataset."""
        return (
            'model net {\nsource = onnx("net.onnx")\ninput = image(224, 224)\n}\n'
            f"dataset data {{\n{dataset}\n}}\n"
            "target box { device = cpu.x86_64 }\n"
            f"quantize net on box with data {{\n{body}\n}}"
        )


def new_project(folder: Path) -> Project:
    """Return a project in which every file that specs of the tests name exists."""
    names = ("net.json", "net.onnx", "net.pt2", "net.pt", "s.json", "p.json", "x.npz", "labels.csv")
    for name in (*names, "net.safetensors", "sensitivity.json"):
        (folder / name).touch()
    for name in (".git", "calib", "eval"):
        (folder / name).mkdir()
    return Project(folder)


def content(resolved: spec.Spec) -> object:
    """Return what a spec says, without the places, files and overrides it came from."""
    return _content(resolved.model_dump(mode="python"))


_PLACES = frozenset(
    ("span", "source_span", "input_span", "file", "root", "sources", "overridden", "ignores")
)


def _content(value: object) -> object:
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value).items()
        return {key: _content(inner) for key, inner in entries if key not in _PLACES}
    if isinstance(value, tuple):
        return tuple(_content(inner) for inner in cast("tuple[object, ...]", value))
    return value
