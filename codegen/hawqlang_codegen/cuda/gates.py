"""Proof that device code computes with integers, stays in the registers planned, and multiplies on tensor cores.

SASS is what a device executes, so every instruction of every architecture is looked at, where cuobjdump and nvdisasm
are at hand (in the CUDA toolkit, or the extra ``cuda``); PTX of the newest architecture otherwise. The emulation is
made from the same sources: its machine code has to be free of floating point too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang_codegen.cuda import resources
from hawqlang_codegen.cuda.build import EMULATED, LIBRARY, PTX
from hawqlang_codegen.tvm import disassemble

INSTRUCTION = re.compile(
    r"^\s+/\*[0-9a-f]{4,6}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*(?:\.[A-Za-z0-9_]+)*)\s*([^;]*);"
)
FLOAT = re.compile(
    r"^(?:F(?:ADD|MUL|FMA|SETP?|SEL|MNMX3?|CHK|SWZADD|RND|2FP?|2I|2IP)(?:32I)?|FRND"
    r"|H(?:ADD|MUL|FMA|SET|SETP|MNMX)2|D(?:ADD|MUL|FMA|SETP|MNMX)"
    r"|[HDQO]MMA|[HQ]GMMA|I2FP?|MUFU|RRO)$"
)
"""Floating-point arithmetic, comparison and conversion."""
LOCAL = ("LDL", "STL")
"""Local memory: registers that did not fit."""
PTX_FLOAT = re.compile(
    r"^\s*(?:@!?%p\d+\s+)?((?!mov|ld|st)[a-z][\w.]*\.(?:f16|f16x2|bf16|bf16x2|tf32|f32|f64|e4m3|e5m2)[\w.]*)\b(.*)$"
)
PRODUCTS = "conv_igemm"
"""Kernels that have to multiply on tensor cores."""
EMPTY = 32
"""Instructions of a kernel that is not for its architecture and returns at once, at most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How much was looked at, and what must not be there, in words."""

    instructions: int
    problems: tuple[str, ...]


def inspect(folder: Path) -> Finding:
    """Return what is wrong with the code in a built folder."""
    count, floats = disassemble.float_instructions(folder / EMULATED / LIBRARY)
    found = [Finding(count, tuple(f"emulation {text}" for text in floats))]
    if (folder / LIBRARY).is_file():
        listing = disassembly(folder / LIBRARY)
        found += [
            check_ptx(path.read_text("utf-8")) for path in sorted((folder / PTX).glob("*.ptx"))
        ]
        if listing is not None:
            found.append(check_sass(listing))
            usage = cuobjdump("-res-usage", folder / LIBRARY) or ""
            found.append(Finding(0, resources.problems(usage)))
    return Finding(
        sum(one.instructions for one in found),
        tuple(problem for one in found for problem in one.problems),
    )


def check_sass(listing: str) -> Finding:
    """Return what is wrong with a disassembly: floats, local memory, products that are not on tensor cores."""
    count = 0
    problems: list[str] = []
    products: dict[str, list[int]] = {}
    for place, name, operands in _instructions(listing):
        count += 1
        opcode = name.split(".")[0]
        if opcode in LOCAL or (FLOAT.match(opcode) and not _is_move(opcode, operands)):
            problems.append(f"{place}: {name} {operands.strip()}")
        if PRODUCTS in place:
            products.setdefault(place, []).append(opcode == "IMMA")
    problems += [
        f"{place}: no products on tensor cores"
        for place, found in products.items()
        if not any(found) and len(found) > EMPTY
    ]
    return Finding(count, tuple(problems))


def _instructions(listing: str) -> Iterator[tuple[str, str, str]]:
    """Yield architecture and kernel, mnemonic, operands of every instruction of a disassembly."""
    arch = kernel = "?"
    for line in listing.splitlines():
        if found := re.search(r"(?:arch = |code for )(sm_\w+)", line):
            arch = found[1]
        elif found := re.search(r"Function : (\S+)", line):
            kernel = found[1]
        elif found := INSTRUCTION.match(line):
            yield f"{arch} {kernel}", found[1], found[2]


def _is_move(opcode: str, operands: str) -> bool:
    """Return whether an instruction of the half pipe moves a constant: ``HFMA2 R, -RZ, RZ, …``."""
    parts = [part.strip() for part in operands.split(",")]
    return opcode == "HFMA2" and len(parts) > 2 and {*parts[1:3]} <= {"RZ", "-RZ"}


def check_ptx(text: str) -> Finding:
    """Return the floating-point instructions of PTX; moves, loads and stores of any type are none."""
    lines = [line for line in text.splitlines() if line.rstrip().endswith(";")]
    found = (PTX_FLOAT.match(line) for line in lines)
    return Finding(
        len(lines), tuple(f"ptx: {match[1]} {match[2].strip()}" for match in found if match)
    )


def disassembly(library: Path) -> str | None:
    """Return the SASS of a library; ``None`` without the disassembler.

    Raises:
        HawqError: the disassembler fails (HQ807).
    """
    return cuobjdump("-sass", library)


def cuobjdump(what: str, library: Path) -> str | None:
    """Return what ``cuobjdump`` says of a library; ``None`` where it or ``nvdisasm`` is missing.

    Raises:
        HawqError: the disassembler fails (HQ807).
    """
    program, nvdisasm = tool("cuobjdump"), tool("nvdisasm")
    if program is None or nvdisasm is None:
        return None
    path = os.pathsep.join([str(nvdisasm.parent), os.environ.get("PATH", "")])
    result = subprocess.run(  # noqa: S603 - the tool is the toolkit's
        [str(program), what, str(library)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    if result.returncode != 0:
        raise HawqError(
            Diagnostic(
                code="HQ807",
                severity="error",
                message=f"cuobjdump cannot read {library.name}",
                notes=(result.stderr.strip()[:1000],),
                help="cuobjdump and nvdisasm must be at least as new as the nvcc that built the library",
            )
        )
    return result.stdout


def tool(name: str) -> Path | None:
    """Return where a tool of the toolkit is: on the PATH, in its usual place, or in a package of this interpreter."""
    places = [shutil.which(name), shutil.which(name, path="/usr/local/cuda/bin")]
    for entry in sys.path:
        places += sorted(str(path) for path in Path(entry).glob(f"nvidia/*/bin/{name}"))
    return next((Path(place) for place in places if place), None)
