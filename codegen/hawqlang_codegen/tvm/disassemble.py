"""Proof that a library computes with integers: every instruction of its code is looked at.

Moves, logic, shuffles, blends and broadcasts with a float mnemonic (``vmovaps``, ``vxorps``, ``vunpcklps``) do not
compute with floats; arithmetic, comparisons and conversions do, and so does all of x87.

The innermost loops of products are also looked at for vectors that registers had no room for.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import capstone
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SUFFIX = r"(ps|pd|ss|sd|ph|sh|nepbf16|bf16)"
OPERATIONS = (
    r"add|sub|mul|div|sqrt|min|max|cmp\w*?|comi|ucomi|comx|ucomx|rcp\w*?|rsqrt\w*?|round|dp|hadd|hsub|addsub|mpsad_?"
    r"|fn?m(?:add|sub|addsub|subadd)\d*|fc?mul|fc?madd|getexp|getmant|scalef|fixupimm|range|reduce|rndscale|fpclass"
    r"|exp2|fmaddc|fcmaddc|fmulc|fcmulc|dpbf16|dpph"
)
FLOAT = re.compile(
    rf"^(?:v?(?:{OPERATIONS}){SUFFIX}|v?cvt\w+|tdp(?:bf16|fp16)\w*|vdpbf16ps|pf\w+|pi2f\w)$"
)
X87 = re.compile(r"^f(?!ence|xsave|xrstor)\w+$")
EXECUTABLE = 0x4
UNREADABLE = ".byte"
TILES = "tdp"
PRODUCTS = ("vpdp", "vpmadd", TILES)
STACK = re.compile(r"\[rsp")
"""In the operands of what is kept on the stack."""
SAVED = re.compile(r"^[a-z ]*\[rsp[^,]*, [xyz]mm\d+")
"""The operands that write a vector to the stack."""
Instruction: TypeAlias = tuple[int, str, str]
"""Address, mnemonic and operands."""
LONGEST = 15
"""Bytes of the longest instruction."""
INTEGER = {
    (0x50, 1): "vpdpbusd",
    (0x51, 1): "vpdpbusds",
    (0x52, 1): "vpdpwssd",
    (0x53, 1): "vpdpwssds",
    (0x49, 0): "ldtilecfg",
    (0x49, 1): "sttilecfg",
    (0x49, 3): "tilezero",
    (0x4B, 1): "tileloaddt1",
    (0x4B, 2): "tilestored",
    (0x4B, 3): "tileloadd",
    (0x5E, 0): "tdpbuud",
    (0x5E, 1): "tdpbusd",
    (0x5E, 2): "tdpbsud",
    (0x5E, 3): "tdpbssd",
}
"""AVX-VNNI and AMX by opcode and prefix (0 none, 1 66, 2 F3, 3 F2), all VEX.0F38.W0; tilerelease is ldtilecfg's code
with a register."""


def is_float(mnemonic: str) -> bool:
    """Return whether an instruction computes with, compares or converts floating-point numbers."""
    return bool(FLOAT.match(mnemonic) or X87.match(mnemonic))


def float_instructions(library: Path) -> tuple[int, tuple[str, ...]]:
    """Return how many instructions the library's code has, and every floating-point or unreadable one as text."""
    count = 0
    found: list[str] = []
    for section, address, code in code_sections(library.read_bytes()):
        for at, mnemonic, operands in instructions(code, address):
            count += 1
            if mnemonic == UNREADABLE or is_float(mnemonic.split()[-1]):
                found.append(f"{section}+{at - address:#x}: {mnemonic} {operands}".rstrip())
    return count, tuple(found)


def spills(library: Path) -> tuple[int, tuple[str, ...]]:
    """Return how many innermost loops compute products, and every instruction in them that touches the stack.

    Beside products of tiles, which take as long as dozens of other instructions, only vectors that are saved count.
    """
    count = 0
    found: list[str] = []
    for section, address, code in code_sections(library.read_bytes()):
        listing = list(instructions(code, address))
        for body in product_loops(listing):
            count += 1
            kept = SAVED if any(name.startswith(TILES) for _, name, _ in body) else STACK
            found += [
                f"{section}+{at - address:#x}: {mnemonic} {operands}"
                for at, mnemonic, operands in body
                if kept.search(operands)
            ]
    return count, tuple(found)


def product_loops(listing: list[Instruction]) -> list[list[Instruction]]:
    """Return the innermost loops in which products are computed."""
    bodies = [[listing[i] for i in body] for body in innermost_loops(listing)]
    return [body for body in bodies if any(name.startswith(PRODUCTS) for _, name, _ in body)]


def innermost_loops(listing: list[Instruction]) -> list[list[int]]:
    """Return the instructions, by index, of every loop that has no other loop in it, wherever they stand."""
    places = {at: i for i, (at, _, _) in enumerate(listing)}
    jumps = {
        i: places.get(int(operands, 16), -1) if operands.startswith("0x") else -1
        for i, (_, mnemonic, operands) in enumerate(listing)
        if mnemonic.startswith("j")
    }
    ends = [i for i, (_, mnemonic, _) in enumerate(listing) if i in jumps or mnemonic == "ret"]
    starts = sorted({0, *(i + 1 for i in ends), *(i for i in jumps.values() if i >= 0)})
    starts = [i for i in starts if i < len(listing)]
    block = {first: n for n, first in enumerate(starts)}
    edges: list[tuple[int, int]] = []
    for n, last in enumerate([*(i - 1 for i in starts[1:]), len(listing) - 1]):
        if jumps.get(last, -1) >= 0:
            edges.append((n, block[jumps[last]]))
        if n + 1 < len(starts) and listing[last][1] not in ("jmp", "ret"):
            edges.append((n, n + 1))
    bounds = [*starts, len(listing)]
    return [
        [i for n in sorted(loop) for i in range(bounds[n], bounds[n + 1])]
        for loop in _innermost(edges)
    ]


def _innermost(edges: list[tuple[int, int]]) -> Iterator[set[int]]:
    """Yield the nodes of every cycle that stays none once the edges to its entry are cut."""
    for inside, entry in _cycles(edges):
        inner = list(_innermost([edge for edge in inside if edge[1] != entry]))
        yield from inner or [{node for edge in inside for node in edge}]


def _cycles(edges: list[tuple[int, int]]) -> Iterator[tuple[list[tuple[int, int]], int]]:
    """Yield the edges of every strongly connected part, and the node through which it is entered."""
    if not edges:
        return
    size = max(max(edge) for edge in edges) + 1
    tails, heads = np.array(edges).T
    graph = coo_array((np.ones(len(edges), np.int8), (tails, heads)), shape=(size, size))
    _, part = connected_components(graph, connection="strong")
    inside: dict[int, list[tuple[int, int]]] = {}
    entered: dict[int, int] = {}
    for tail, head in edges:
        if part[tail] == part[head]:
            inside.setdefault(int(part[head]), []).append((tail, head))
        else:
            entered.setdefault(int(part[head]), head)
    for name, group in inside.items():
        yield group, entered.get(name, min(head for _, head in group))


def instructions(code: bytes, address: int) -> Iterator[tuple[int, str, str]]:
    """Yield address, mnemonic and operands of every instruction; a byte that starts none is ``UNREADABLE``."""
    engine: Any = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    at = 0
    while at < len(code):
        for where, size, mnemonic, operands in engine.disasm_lite(code[at:], address + at):
            yield where, mnemonic, operands
            at = where + size - address
        if at < len(code):
            size, mnemonic = _undecoded(engine, code[at : at + LONGEST])
            yield address + at, mnemonic, code[at : at + size].hex(" ")
            at += size


def _undecoded(engine: Any, code: bytes) -> tuple[int, str]:
    """Return size and name of an instruction that capstone does not know.

    Operands of AVX-VNNI and AMX are encoded as those of vpmulld (VEX.66.0F38.W0 40), so that one, decoded in their
    place, has their length.
    """
    known = len(code) > 4 and code[0] == 0xC4 and code[1] & 0x1F == 2 and not code[2] & 0x80
    name = INTEGER.get((code[3], code[2] & 3)) if known else None
    if name is not None:
        twin = bytes((code[0], code[1], code[2] & 0xFC | 1, 0x40)) + code[4:]
        for _, size, _, _ in engine.disasm_lite(twin, 0, 1):
            return size, name
    return 1, UNREADABLE


def code_sections(elf: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, address and bytes of every executable section of a 64-bit little-endian ELF file."""
    table, size, number, names = (
        *struct.unpack_from("<Q", elf, 40),
        *struct.unpack_from("<3H", elf, 58),
    )
    headers = [struct.unpack_from("<2I4Q2I2Q", elf, table + i * size) for i in range(number)]
    strings = headers[names][4]
    for name, kind, flags, address, offset, length, *_ in headers:
        if kind == 1 and flags & EXECUTABLE:
            start = strings + name
            text = elf[start : elf.index(b"\0", start)].decode()
            yield text, address, elf[offset : offset + length]
