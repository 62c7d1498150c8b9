"""A file as it was at a revision in git, with every spec and lock around it; nothing is checked out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.ir.lock import SUFFIX

SECONDS = 60
_REGULAR = ("100644", "100755")


def at_revision(file: Path, revision: str, folder: Path) -> Path:
    """Write all specs and locks of a revision into an empty folder; return where ``file`` is in it.

    Args:
        file: A spec, lock or saved plan in a repository; it need not be there any more.
        revision: Whatever git takes for a commit.
        folder: Takes the files, laid out as in the repository.

    Raises:
        ToolError: There is no git, no repository, no such revision, or no such file in it (HQ870).
    """
    beside = _existing(file.absolute().parent)
    shown = _git(beside, "rev-parse", "--show-toplevel", refusal=f"'{beside}' is in no repository")
    top = Path(os.fsdecode(shown.rstrip(b"\n"))).resolve()
    name = (file.absolute().parent.resolve() / file.name).relative_to(top).as_posix()
    asked = ("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    commit = _git(beside, *asked, refusal=f"there is no revision '{revision}'")
    listed = _git(top, "ls-tree", "-r", "-z", "--full-tree", commit.decode().strip())
    blobs = {path: blob for path, blob in _blobs(listed) if _wanted(path, name)}
    if name not in blobs:
        raise _failure(f"'{name}' is not in revision '{revision}'", "check both names")
    home = folder.resolve()
    for path, data in zip(blobs, _contents(top, list(blobs.values())), strict=True):
        place = home / path
        if place.resolve().is_relative_to(home):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    return home / name


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _wanted(path: str, name: str) -> bool:
    return path == name or path.endswith((".hawq", f".hawq{SUFFIX}"))


def _blobs(listed: bytes) -> list[tuple[str, str]]:
    """Return path and object of every regular file that ``git ls-tree -z`` lists."""
    rows: list[tuple[str, str]] = []
    for row in listed.split(b"\0"):
        head, _, path = row.partition(b"\t")
        words = head.decode().split()
        if len(words) == 3 and words[0] in _REGULAR:
            rows.append((os.fsdecode(path), words[2]))
    return rows


def _contents(top: Path, blobs: list[str]) -> list[bytes]:
    """Return the content of every object, from one process."""
    data = _git(top, "cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
    found: list[bytes] = []
    here = 0
    for _ in blobs:
        end = data.index(b"\n", here)
        size = int(data[here:end].split()[2])
        found.append(data[end + 1 : end + 1 + size])
        here = end + size + 2
    return found


def _git(folder: Path, *arguments: str, given: bytes = b"", refusal: str = "git failed") -> bytes:
    """Return what a git command prints; ``refusal`` says what it means when it ends otherwise."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands; a revision stands behind --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            input=given,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise _failure("`--against` needs git, which is not there", "install git") from error
    except subprocess.TimeoutExpired as error:
        message = f"git did not answer within {SECONDS} s"
        raise _failure(message, "see whether git works in this repository") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1].removeprefix("fatal: ") if said else f"status {done.returncode}"
        raise _failure(
            f"{refusal} ({why})", "`--against` takes a revision of the file's repository"
        )
    return done.stdout


def _failure(message: str, help_: str) -> ToolError:
    return ToolError(Diagnostic(code="HQ870", severity="error", message=message, help=help_))
