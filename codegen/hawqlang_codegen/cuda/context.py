"""What the template prints: every number of every launch, ready. Tensors are numbers, constants offsets in the blob."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """Bytes of the blob."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Operand:
    """A second operand of an addition."""

    x: int
    zero: int
    multiplier: int
    shift: int


@dataclass(frozen=True, slots=True)
class StoreForm:
    """How an int32 value becomes a stored tensor."""

    out: int
    in_place: bool
    """Whether it overwrites its addend."""
    channels: Constant
    wide: bool
    zero: int
    lo: int
    hi: int
    addend: Operand | None


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window: what is read for each pixel of the result."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    """Above and to the left."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One kernel and split of a convolution, and the architectures (rows of the table) that use it."""

    rows: tuple[int, ...]
    tile: str
    """As a C++ type."""
    parts: int


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution or linear layer on tensor cores."""

    x: int
    weights: Constant
    fill: Constant
    size: tuple[int, int]
    """Height and width of the input."""
    out_size: tuple[int, int]
    out_channels: int
    window: Window
    pixel_bytes: int
    depth_bytes: int
    """Bytes of a pixel that are read."""
    steps: int
    weight_row: int
    operands: Literal["kU8S8", "kS8S8", "kU4S4", "kS4S4"]
    form: Literal["kSame", "kWidened"]
    words: bool
    variants: tuple[Variant, ...]
    scratch: str
    """Name of the buffer that split sums need; empty without one."""
    scratch_bytes: int
    """Of that buffer, for one image."""
    stores: tuple[StoreForm, ...]
    kind: Literal["conv"] = "conv"


@dataclass(frozen=True, slots=True)
class Direct:
    """A convolution or linear layer without tensor cores."""

    x: int
    weights: Constant
    out_size: tuple[int, int]
    out_channels: int
    vectors: int
    window: Window
    depth: int
    group_channels: int
    zero: int
    reads: Literal["kAll", "kOwn", "kGroup"]
    bytes: bool
    stores: tuple[StoreForm, ...]
    kind: Literal["direct"] = "direct"


@dataclass(frozen=True, slots=True)
class Affine:
    """A per-channel affine map."""

    x: int
    out: int
    channels: Constant
    zero: int
    lo: int
    hi: int
    kind: Literal["affine"] = "affine"


@dataclass(frozen=True, slots=True)
class Sum:
    """One stored sum."""

    out: int
    in_place: bool
    """Whether it overwrites an operand."""
    a: Operand
    b: Operand
    zero: int
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Add:
    """An addition of two stored tensors."""

    sums: tuple[Sum, ...]
    kind: Literal["add"] = "add"


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Maxima of windows."""

    x: int
    out: int
    window: Window
    kind: Literal["max_pool"] = "max_pool"


@dataclass(frozen=True, slots=True)
class AvgPool:
    """Means of windows."""

    x: int
    window: Window
    which: Constant
    out_size: tuple[int, int]
    zero: int
    stores: tuple[StoreForm, ...]
    kind: Literal["avg_pool"] = "avg_pool"


@dataclass(frozen=True, slots=True)
class Part:
    """A window of a tensor: result channels ``first`` … ``last`` − 1."""

    x: int
    first: int
    last: int
    start: tuple[int, int, int]
    step: tuple[int, int, int]
    placed: bool
    """Whether it was written in its place."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Concatenation, slice or padding."""

    out: int
    in_place: bool
    """Whether parts of it are there already."""
    fill: int
    parts: tuple[Part, ...]
    kind: Literal["gather"] = "gather"


@dataclass(frozen=True, slots=True)
class Renumber:
    """A reshape that has to move elements."""

    x: int
    out: int
    kind: Literal["renumber"] = "renumber"


Launch: TypeAlias = Conv | Direct | Affine | Add | MaxPool | AvgPool | Gather | Renumber
