"""Kernels for AMX on machines without it: the same generated text, with tile registers emulated in C."""

from __future__ import annotations

from pathlib import Path

from hawqlang.ir.kernels import KernelSet

CALLS = """
def tile_configure(element):
    T.evaluate(T.call_extern("int32", "tile_configure", T.address_of(element)))


def tile_load(tile, element, step):
    T.evaluate(T.call_extern("int32", "tile_load", T.int32(tile), T.address_of(element), T.int64(step)))


def tile_dots(sums, x, w):
    T.evaluate(T.call_extern("int32", "tile_dots", T.int32(sums), T.int32(x), T.int32(w)))


def tile_store(tile, element, step):
    T.evaluate(T.call_extern("int32", "tile_store", T.int32(tile), T.address_of(element), T.int64(step)))


@I.ir_module"""
"""The prelude's four functions, which these replace."""
SET_UP, GIVE_BACK = (
    f'__asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x{code}"' for code in ("00", "c0")
)
GRANTED = "syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0"
PRESENT = "HAS(cpu->d, 1u << 24 | 1u << 25) && HAS(cpu->state, 3u << 17)"


def emulated(kernels: KernelSet) -> KernelSet:
    """Return the sources of a library that believes in AMX on every machine with AVX-512 and VNNI."""
    texts = {source.path: source.text for source in kernels.sources}
    texts["kernels_amx.py"] = _replaced(texts["kernels_amx.py"], ("@I.ir_module", CALLS))
    texts["hawq_cpu.h"] = _replaced(
        texts["hawq_cpu.h"],
        (PRESENT, "cpu"),
        (GRANTED, "REQUEST && TILE_DATA"),
        (SET_UP, '__asm__ volatile(""'),
        (GIVE_BACK, '__asm__ volatile(""'),
    )
    texts["hawq_runtime.c"] += Path(__file__).with_name("tiles.c").read_text(encoding="utf-8")
    return kernels.replace(
        sources=tuple(source.replace(text=texts[source.path]) for source in kernels.sources)
    )


def _replaced(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        if text.count(old) != 1:
            raise ValueError(f"{text.count(old)} times: {old}")
        text = text.replace(old, new)
    return text
