"""Write an artifact folder whole or not at all, and read it back.

Everything goes into a sibling ``.NAME.partial-*`` folder first; a rename makes it the artifact.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from hawqlang.base import Frozen
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.bundle import CONSTANTS, MANIFEST, PROGRAM, FileEntry, Manifest
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.spec import (
    ArraysData,
    FileSensitivity,
    ImagesData,
    LayersSource,
    OnnxSource,
    ProfileLatency,
    Pt2Source,
    PythonCall,
    WeightFile,
)
from hawqlang.references import references

FrozenT = TypeVar("FrozenT", bound=Frozen)
_PATH_FIELDS: dict[type[Frozen], tuple[str, ...]] = {
    OnnxSource: ("path",),
    Pt2Source: ("path",),
    PythonCall: ("folder",),
    LayersSource: ("path",),
    WeightFile: ("path",),
    ProfileLatency: ("path",),
    FileSensitivity: ("path",),
    ImagesData: ("folder", "labels"),
    ArraysData: ("path",),
}


class Staging:
    """A folder in the making beside the one it will replace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))

    def commit(self) -> None:
        """Put what was made in its place."""
        self.path.chmod(0o755)
        _swap(self.path, self.folder)


@contextmanager
def staging(folder: Path) -> Generator[Staging]:
    """Give an empty folder that takes the place of ``folder`` when committed, else vanishes."""
    made = Staging(folder)
    try:
        yield made
    finally:
        shutil.rmtree(made.path, ignore_errors=True)


def _swap(partial: Path, folder: Path) -> None:
    """Put ``partial`` where ``folder`` is; the old folder goes only after the new one stands."""
    if not folder.exists():
        partial.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old-", dir=folder.parent)) / folder.name
    folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)


def file_entries(folder: Path) -> tuple[FileEntry, ...]:
    """Return every file below ``folder`` but the manifest, sorted by path."""
    return tuple(
        FileEntry(
            path=path.relative_to(folder).as_posix(),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size_bytes=path.stat().st_size,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts
    )


def write_reference(program: IntegerProgram, store: TensorStore, folder: Path) -> None:
    """Write the program and its constants: what ``verify`` interprets."""
    path = folder / PROGRAM
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(program.model_dump_json(indent=1), encoding="utf-8")
    with zipfile.ZipFile(folder / CONSTANTS, "w", zipfile.ZIP_STORED) as archive:
        for key, ref in sorted({ref.digest: ref for ref in references(program)}.items()):
            data = io.BytesIO()
            np.save(data, store.get(ref), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), data.getvalue())


def read_reference(folder: Path) -> tuple[IntegerProgram, TensorStore]:
    """Return the program of an artifact and an in-memory store of its constants."""
    store = TensorStore()
    try:
        program = IntegerProgram.model_validate_json((folder / PROGRAM).read_bytes())
        with np.load(folder / CONSTANTS, allow_pickle=False) as constants:
            for ref in references(program):
                if store.put(constants[ref.digest]) != ref:
                    raise _damaged(folder, CONSTANTS, f"constant {ref.digest[:12]} has changed")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(folder, PROGRAM, str(error)) from error
    return program, store


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of an artifact folder; a diagnostic when the folder is none."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError:
        raise HawqError(
            Diagnostic(
                code="HQ810",
                severity="error",
                message=f"'{folder}' is not an artifact folder: it has no readable {MANIFEST}",
                help="give the folder that `hawqc build` wrote, such as `build/NAME`",
            )
        ) from None
    try:
        return Manifest.model_validate_json(data)
    except ValueError as error:
        raise _damaged(folder, MANIFEST, str(error).splitlines()[0]) from error


def changed_files(folder: Path) -> tuple[str, ...]:
    """Return what differs from the manifest, in words: changed, missing and added files."""
    manifest = read_manifest(folder)
    found = {entry.path: entry for entry in file_entries(folder)}
    listed = {entry.path: entry for entry in manifest.files}
    changes = [
        f"{path}: missing" if path not in found else f"{path}: changed"
        for path, entry in listed.items()
        if found.get(path) != entry
    ]
    changes += [f"{path}: not in the manifest" for path in found if path not in listed]
    if not manifest.intact():
        changes.append(f"{MANIFEST}: changed")
    return tuple(sorted(changes))


def relocate(value: FrozenT, base: Path, *, to_relative: bool) -> FrozenT:
    """Return ``value`` with its file paths made relative to ``base``, or absolute again."""

    def moved(path: str) -> str:
        if to_relative:
            return Path(os.path.relpath(path, base)).as_posix()
        return os.path.normpath(base / path)

    def visit(item: object) -> object:
        if not isinstance(item, Frozen):
            return item
        paths = _PATH_FIELDS.get(type(item), ())
        fields = {name: getattr(item, name) for name in type(item).model_fields}
        return type(item)(
            **{
                name: moved(field) if name in paths and field is not None else visit(field)
                for name, field in fields.items()
            }
        )

    return cast("FrozenT", visit(value))


def _damaged(folder: Path, name: str, why: str) -> HawqError:
    return HawqError(
        Diagnostic(
            code="HQ811",
            severity="error",
            message=f"'{folder / name}' cannot be read: {why}",
            help="the artifact is damaged; build it again",
        )
    )
