"""Reads an archive of ``torch.export``: its calls in ONNX's words, with the rules and names of the ONNX route.

Exported programs may run operators in place (``relu_``). The graph of the compiler has values only, so a tensor that
is overwritten gets the new value's name for whatever comes later; where another view of the same memory is read later,
the program is refused rather than guessed at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hawqlang.cache import Array
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import Model, Pt2Source
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.onnx.load import check_single
from hawqlang.stages.import_model.onnx.model import (
    OnnxInput,
    OnnxModel,
    RefusedError,
    printable,
)
from hawqlang.stages.import_model.onnx.read import read_nodes
from hawqlang.stages.import_model.pt2.archive import Archive, open_archive
from hawqlang.stages.import_model.pt2.aten import ATEN, VIEWS
from hawqlang.stages.import_model.pt2.fields import MalformedError
from hawqlang.stages.import_model.pt2.program import AtenNode, Program, Ref, Symbol, program_of
from hawqlang.stages.import_model.pt2.writer import Call, Writer, tensors

OPSET = 21
"""Version of the ONNX operators that calls are put into."""

_OVERWRITTEN = "it reads a tensor that was overwritten in place through another view of it"
_FUNCTIONALLY = "export without in-place operators: torch.export.export(…).run_decompositions({})"

_ELEMENTS = {6: "FLOAT16", 7: "FLOAT", 8: "DOUBLE", 13: "BFLOAT16"}


def read_pt2(
    model: Model, source: Pt2Source, batch: int
) -> tuple[Draft, Callable[[str], Array], frozenset[str]]:
    """Return the draft of an archive, the reader of its tensors, and the names that a weight file replaces."""
    archive = open_archive(source.path, model.source_span)
    return read_archive(model, archive, source.path, batch)


def read_archive(
    model: Model, archive: Archive, called: str, batch: int
) -> tuple[Draft, Callable[[str], Array], frozenset[str]]:
    """Return what ``read_pt2`` does, of an archive that is open; messages name it as ``called`` says."""
    try:
        program = program_of(archive.program)
        opened = _opened(archive, program, model, called)
    except MalformedError as error:
        raise HawqError(_damaged(model, called, error)) from error
    draft, read, _ = read_nodes(model, opened, batch)
    return draft, read, frozenset(program.stored.values())


def _opened(archive: Archive, program: Program, model: Model, path: str) -> OnnxModel:
    """Return the program as the reader of nodes takes it."""
    span = model.source_span
    check_single("input", list(program.inputs), path, span)
    check_single("output", list(program.outputs), path, span)
    if program.mutated:
        raise HawqError(_mutates(model, path, program.mutated))
    (entering,), (leaving,) = program.inputs, program.outputs
    meta = program.metas.get(entering)
    if meta is None:
        raise MalformedError("its input has no sizes")
    if None in meta.sizes[1:]:
        raise HawqError(_dynamic(model, path))
    used = {ref.name for node in program.nodes for ref in _refs(node)}
    writer = Writer(program)
    for placeholder, name in program.stored.items():
        if placeholder in used:
            writer.values[placeholder] = name
    missing = [name for name in writer.values.values() if name not in archive.tensors]
    if missing:
        raise MalformedError(f"tensor '{printable(missing[0])}' is missing")
    stored = {name: archive.tensors[name] for name in writer.values.values()}
    if leaving in _write(writer, program):
        raise HawqError(_overwritten(model, path))
    return OnnxModel(
        path=Path(path),
        opset=OPSET,
        nodes=tuple(writer.nodes),
        initializers=stored | writer.constants,
        input=OnnxInput(f"%{entering}", meta.sizes, _ELEMENTS.get(meta.kind, "integers")),
        output=writer.value(Ref(leaving)),
    )


def _refs(node: AtenNode) -> list[Ref]:
    """Return the tensors that a call takes."""
    found: list[Ref] = []
    for argument in node.arguments.values():
        found += tensors(argument if isinstance(argument, tuple) else (argument,))
    return found


def _write(writer: Writer, program: Program) -> set[str]:
    """Write every call, and return the tensors that were overwritten through another view of them."""
    memory: dict[str, str] = {}
    stale: set[str] = set()
    batch: set[str] = set()
    for node in program.nodes:
        if _is_batch(node):
            batch |= {out.name for out in node.outputs if isinstance(out, Symbol)}
        results = tensors(node.outputs)
        if not results:
            continue
        writer.current = node
        operator = _operator(node)
        reads = _refs(node)
        try:
            rule = ATEN.get(operator.removesuffix("_"))
            if any(ref.name in stale for ref in reads):
                writer.refuse(RefusedError(_OVERWRITTEN, _FUNCTIONALLY))
            elif rule is None:
                writer.refuse(_unknown(node))
            else:
                rule(writer, Call(node, program.metas, frozenset(batch)))
        except RefusedError as error:
            writer.refuse(error)
        first = reads[0].name if reads else ""
        if operator.endswith("_") and reads:
            owner = memory.get(first, first)
            shared = {name for name in (*memory, first) if memory.get(name, name) == owner}
            stale |= shared - {first}
            writer.values[first] = writer.value(results[0])
            memory[results[0].name] = owner
        elif operator in VIEWS and reads:
            memory |= {ref.name: memory.get(first, first) for ref in results}
    return stale


def _operator(node: AtenNode) -> str:
    """Return the operator's name without namespace and overload; the whole target outside of ATen."""
    parts = node.target.split(".")
    return parts[1] if len(parts) == 3 and parts[0] == "aten" else node.target


def _is_batch(node: AtenNode) -> bool:
    """Return whether a call gives the size of the first axis."""
    return node.target == "aten.sym_size.int" and node.arguments.get("dim") == 0


def _unknown(node: AtenNode) -> RefusedError | None:
    if node.target.startswith("higher_order."):
        return RefusedError(
            "it is control flow, which depends on the data",
            "only networks that compute the same operators for every input can be compiled",
            "HQ320",
        )
    if not node.target.startswith("aten."):
        return RefusedError(
            f"operator '{node.target}' is not one of PyTorch's own",
            "replace custom operators by PyTorch's before the export",
            "HQ320",
        )
    return None


def _dynamic(model: Model, path: str) -> Diagnostic:
    return Diagnostic(
        code="HQ312",
        severity="error",
        message=f"'{path}' takes images of any size, but the integer program is made for one",
        span=model.source_span,
        help="export with a fixed height and width; only the first dimension may be dynamic",
    )


def _mutates(model: Model, path: str, names: tuple[str, ...]) -> Diagnostic:
    return Diagnostic(
        code="HQ321",
        severity="error",
        message=f"'{path}' changes '{printable(names[0])}' while it runs",
        span=model.source_span,
        help="call model.eval() before the export: in training mode batch norms update their statistics",
    )


def _overwritten(model: Model, path: str) -> Diagnostic:
    return Diagnostic(
        code="HQ321",
        severity="error",
        message=f"the output of '{path}': {_OVERWRITTEN}",
        span=model.source_span,
        help=_FUNCTIONALLY,
    )


def _damaged(model: Model, path: str, error: MalformedError) -> Diagnostic:
    return Diagnostic(
        code="HQ341",
        severity="error",
        message=f"'{path}' is damaged: {error}",
        span=model.source_span,
    )
