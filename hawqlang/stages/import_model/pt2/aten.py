"""The ATen operators that are read: which ONNX operator each is, with which attributes.

A rule takes the writer and the call. Shapes, forms that cannot be expressed and everything else are decided by the
rules of the ONNX operators, so both kinds of file give one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hawqlang.stages.import_model.onnx.model import Attribute, RefusedError
from hawqlang.stages.import_model.pt2.writer import Call, Writer
from hawqlang.stages.import_model.windows import uniform_windows

Rule = Callable[[Writer, Call], None]

LAST = 2**63 - 1
"""What ATen writes for the end of an axis."""


# ---- operators with weights --------------------------------------------------------------------------------


def _conv(w: Writer, c: Call) -> None:
    if c.flag("transposed", default=False):
        raise RefusedError("transposed convolutions are not supported", None, "HQ320")
    attributes: dict[str, Attribute] = {
        "strides": c.integers("stride", (1, 1)),
        "dilations": c.integers("dilation", (1, 1)),
        "group": c.whole("groups", 1),
    }
    if c.overload == "padding":
        attributes["auto_pad"] = {"same": "SAME_UPPER", "valid": "VALID"}.get(
            c.text("padding", "valid"), "?"
        )
    else:
        height, width = c.pair("padding", (0, 0))
        attributes["pads"] = (height, width, height, width)
    arguments = c.node.arguments
    w.emit("Conv", [arguments.get(k) for k in ("input", "weight", "bias")], attributes)


def _linear(w: Writer, c: Call) -> None:
    arguments = c.node.arguments
    inputs = [arguments.get(k) for k in ("input", "weight", "bias")]
    w.emit("Gemm", inputs, {"transB": 1})


def _addmm(w: Writer, c: Call) -> None:
    arguments = c.node.arguments
    inputs = [arguments.get(k) for k in ("mat1", "mat2", "self")]
    w.emit("Gemm", inputs, {"alpha": c.number("alpha", 1), "beta": c.number("beta", 1)})


def _matmul(w: Writer, c: Call) -> None:
    arguments = c.node.arguments
    w.emit("MatMul", [arguments.get("self"), arguments.get("other", arguments.get("mat2"))])


def _batch_norm(w: Writer, c: Call) -> None:
    if c.flag("training", default=False):
        raise RefusedError("it is in training mode", "call model.eval() before the export")
    arguments = c.node.arguments
    keys = ("input", "weight", "bias", "running_mean", "running_var")
    if any(not c.given(key) for key in keys):
        raise RefusedError(
            "it has no scale, bias or running statistics",
            "batch norm with affine = True and track_running_stats = True is supported",
        )
    w.emit(
        "BatchNormalization",
        [arguments.get(k) for k in keys],
        {"epsilon": c.number("eps", 1e-5)},
        outputs=1,
    )


# ---- elementwise ------------------------------------------------------------------------------------------


def _sum(op: str) -> Rule:
    def rule(w: Writer, c: Call) -> None:
        if c.number("alpha", 1) != 1:
            raise RefusedError("it multiplies its second operand", "alpha = 1 is supported")
        _binary(op)(w, c)

    return rule


def _binary(op: str) -> Rule:
    def rule(w: Writer, c: Call) -> None:
        if c.given("rounding_mode"):
            raise RefusedError("it rounds its result")
        w.emit(op, [c.node.arguments.get("self"), c.node.arguments.get("other")])

    return rule


def _plain(op: str) -> Rule:
    def rule(w: Writer, c: Call) -> None:
        w.emit(op, [c.node.arguments.get("self", c.node.arguments.get("input"))])

    return rule


def _clip(low: str, high: str, bounds: tuple[float | None, float | None] = (None, None)) -> Rule:
    def rule(w: Writer, c: Call) -> None:
        attributes: dict[str, Attribute] = {}
        for key, name, default in (("min", low, bounds[0]), ("max", high, bounds[1])):
            if c.given(name) or default is not None:
                attributes[key] = c.number(name, default or 0.0)
        w.emit("Clip", [c.node.arguments.get("self")], attributes)

    return rule


def _dropout(w: Writer, c: Call) -> None:
    if c.flag("train", default=True):
        raise RefusedError("it is in training mode", "call model.eval() before the export")
    w.emit("Dropout", [c.node.arguments.get("input", c.node.arguments.get("self"))])


def _to(w: Writer, c: Call) -> None:
    if c.given("dtype") and c.whole("dtype", 0) not in (6, 7, 8, 13):
        raise RefusedError("it changes its input into integers")
    w.emit("Cast", [c.node.arguments.get("self")])


def _softmax(op: str) -> Rule:
    def rule(w: Writer, c: Call) -> None:
        w.emit(op, [c.node.arguments.get("self")], {"axis": c.whole("dim", -1)})

    return rule


# ---- pools ------------------------------------------------------------------------------------------------


def _max_pool(w: Writer, c: Call) -> None:
    w.emit(
        "MaxPool",
        [c.node.arguments.get("self")],
        _window(c) | {"dilations": c.pair("dilation", (1, 1))},
        outputs=1,
    )


def _avg_pool(w: Writer, c: Call) -> None:
    if c.given("divisor_override"):
        raise RefusedError("it divides by a number of its own", "leave divisor_override out")
    counted = c.flag("count_include_pad", default=True)
    w.emit(
        "AveragePool",
        [c.node.arguments.get("self")],
        _window(c) | {"count_include_pad": int(counted)},
    )


def _window(c: Call) -> dict[str, Attribute]:
    kernel = c.pair("kernel_size")
    height, width = c.pair("padding", (0, 0))
    return {
        "kernel_shape": kernel,
        "strides": c.pair("stride", kernel),
        "pads": (height, width, height, width),
        "ceil_mode": int(c.flag("ceil_mode", default=False)),
    }


def _adaptive(pool: str, whole: str) -> Rule:
    def rule(w: Writer, c: Call) -> None:
        x = c.node.arguments.get("self")
        size = c.pair("output_size")
        if size == (1, 1):
            w.emit(whole, [x])
            return
        sizes = [_uniform(n, out) for n, out in zip(c.dims("self")[-2:], size, strict=True)]
        (kernel_h, stride_h), (kernel_w, stride_w) = sizes
        if (kernel_h, kernel_w, stride_h, stride_w) == (1, 1, 1, 1):
            w.emit("Identity", [x])
            return
        w.emit(pool, [x], {"kernel_shape": (kernel_h, kernel_w), "strides": (stride_h, stride_w)})

    return rule


def _uniform(size: int | None, count: int) -> tuple[int, int]:
    """Return kernel and stride of an adaptive pool's windows along an axis, where all are alike."""
    windows = None if size is None else uniform_windows(size, count)
    if windows is None:
        raise RefusedError(
            f"its windows differ: it pools {size or 'an unknown number of'} elements into {count}",
            "choose an input size at which the windows are equal",
        )
    return windows


def _mean(w: Writer, c: Call) -> None:
    kept = int(c.flag("keepdim", default=False))
    axes = c.integers("dim", tuple(range(c.rank("self"))))
    w.emit("ReduceMean", [c.node.arguments.get("self")], {"axes": axes, "keepdims": kept})


# ---- views and moves --------------------------------------------------------------------------------------


def _flatten(w: Writer, c: Call) -> None:
    x = c.node.arguments.get("self")
    rank = c.rank("self")
    start, end = (c.whole(k, d) % rank for k, d in (("start_dim", 0), ("end_dim", -1)))
    if (start, end) == (1, rank - 1):
        w.emit("Flatten", [x], {"axis": 1})
        return
    dims = c.dims("self")
    if start == 0 or None in dims[1:]:
        raise RefusedError("it flattens the batch axis, or one of unknown size")
    shape = (0, *dims[1:start], -1, *dims[end + 1 :])
    w.emit("Reshape", [x], constants=[[n for n in shape if n is not None]])


def _reshape(w: Writer, c: Call) -> None:
    shape = c.shape("size" if "size" in c.node.arguments else "shape")
    w.emit("Reshape", [c.node.arguments.get("self")], constants=[shape])


def _squeeze(w: Writer, c: Call) -> None:
    axes = [c.integers("dim")] if c.given("dim") else []
    w.emit("Squeeze", [c.node.arguments.get("self")], constants=axes)


def _unsqueeze(w: Writer, c: Call) -> None:
    w.emit("Unsqueeze", [c.node.arguments.get("self")], constants=[c.integers("dim")])


def _permute(w: Writer, c: Call) -> None:
    rank = c.rank("self")
    order = tuple(axis % rank for axis in c.integers("dims"))
    w.emit("Transpose", [c.node.arguments.get("self")], {"perm": order})


def _transpose(w: Writer, c: Call) -> None:
    rank = c.rank("self")
    order = list(range(rank))
    a, b = (c.whole(key, i) % rank for i, key in enumerate(("dim0", "dim1")))
    order[a], order[b] = order[b], order[a]
    w.emit("Transpose", [c.node.arguments.get("self")], {"perm": tuple(order)})


def _concat(w: Writer, c: Call) -> None:
    parts = c.node.arguments.get("tensors")
    if not isinstance(parts, tuple):
        raise RefusedError("it concatenates something else than tensors")
    w.emit("Concat", parts, {"axis": c.whole("dim", 0)})


def _slice(w: Writer, c: Call) -> None:
    start = c.whole("start", 0) if c.given("start") else 0
    end = c.whole("end", LAST) if c.given("end") else LAST
    step = c.whole("step", 1)
    if (start, end, step) == (0, LAST, 1):
        w.emit("Identity", [c.node.arguments.get("self")])
        return
    columns = [[start], [end], [c.whole("dim", 0)], [step]]
    w.emit("Slice", [c.node.arguments.get("self")], constants=columns)


def _split(w: Writer, c: Call) -> None:
    """Write ``chunk``, ``split`` and ``split_with_sizes``; the sizes follow from the parts' own."""
    axis = c.whole("dim", 0)
    sizes = [c.metas[part.name].sizes[axis] for part in c.parts()]
    known = [n for n in sizes if n is not None]
    if len(known) != len(sizes):
        raise RefusedError("the sizes of its parts are not known")
    w.emit("Split", [c.node.arguments.get("self")], {"axis": axis}, constants=[known])


def _pad(w: Writer, c: Call) -> None:
    if c.text("mode", "constant") != "constant":
        raise RefusedError("it pads with something else than zeros")
    rank = c.rank("self")
    written = c.integers("pad")
    before, after = [0] * rank, [0] * rank
    for i in range(len(written) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = written[2 * i], written[2 * i + 1]
    if c.given("value") and c.number("value", 0.0) != 0.0:
        raise RefusedError("it pads with something else than zeros")
    w.emit("Pad", [c.node.arguments.get("self")], constants=[[*before, *after]])


ATEN: Mapping[str, Rule] = {
    "_adaptive_avg_pool2d": _adaptive("AveragePool", "GlobalAveragePool"),
    "_log_softmax": _softmax("LogSoftmax"),
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_softmax": _softmax("Softmax"),
    "_unsafe_view": _reshape,
    "adaptive_avg_pool2d": _adaptive("AveragePool", "GlobalAveragePool"),
    "adaptive_max_pool2d": _adaptive("MaxPool", "GlobalMaxPool"),
    "add": _sum("Add"),
    "addmm": _addmm,
    "alias": _plain("Identity"),
    "avg_pool2d": _avg_pool,
    "batch_norm": _batch_norm,
    "cat": _concat,
    "chunk": _split,
    "clamp": _clip("min", "max"),
    "clamp_max": _clip("", "max"),
    "clamp_min": _clip("min", ""),
    "clone": _plain("Identity"),
    "concat": _concat,
    "constant_pad_nd": _pad,
    "contiguous": _plain("Identity"),
    "conv2d": _conv,
    "convolution": _conv,
    "detach": _plain("Identity"),
    "div": _binary("Div"),
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "flatten": _flatten,
    "hardtanh": _clip("min_val", "max_val", (-1.0, 1.0)),
    "linear": _linear,
    "log_softmax": _softmax("LogSoftmax"),
    "matmul": _matmul,
    "max_pool2d": _max_pool,
    "max_pool2d_with_indices": _max_pool,
    "mean": _mean,
    "mm": _matmul,
    "mul": _binary("Mul"),
    "pad": _pad,
    "permute": _permute,
    "relu": _plain("Relu"),
    "relu6": _clip("", "", (0.0, 6.0)),
    "reshape": _reshape,
    "slice": _slice,
    "softmax": _softmax("Softmax"),
    "split": _split,
    "split_with_sizes": _split,
    "squeeze": _squeeze,
    "sub": _sum("Sub"),
    "t": _transpose,
    "to": _to,
    "_to_copy": _to,
    "transpose": _transpose,
    "unsqueeze": _unsqueeze,
    "view": _reshape,
}
"""Rules by the operator's name without namespace, overload, and the underscore of its in-place form."""

VIEWS = frozenset(
    {
        "alias", "chunk", "contiguous", "detach", "dropout", "feature_dropout", "flatten", "permute", "reshape",
        "slice", "split", "split_with_sizes", "squeeze", "t", "to", "transpose", "unsqueeze", "view",
    }
)  # fmt: skip
"""Operators whose result may lie in the memory of their input."""
