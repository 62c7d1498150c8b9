"""The one namespace of a spec: who declares which name, who sees it, and what nobody uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hawqlang.diagnostics import Label
from hawqlang.ir import syntax
from hawqlang.stages.resolve.files import SourceFile
from hawqlang.stages.resolve.report import Sink, error, removal, warning
from hawqlang.stages.resolve.scope import ARTICLES, Declared, Kind, reserved


@dataclass(frozen=True, slots=True)
class Namespace:
    """Every name of a spec and, by file, the nodes that declare them."""

    names: Mapping[str, Declared]
    nodes: Mapping[str, syntax.Param | syntax.Declaration]
    """The node behind each name; a name declared twice keeps its first."""
    by_file: Mapping[Path, Mapping[str, Declared]]
    """The names each file sees."""


def namespace(files: tuple[SourceFile, ...], sink: Sink) -> Namespace:
    """Return the namespace of all files, imports first; double and reserved names are reported."""
    names: dict[str, Declared] = {}
    nodes: dict[str, syntax.Param | syntax.Declaration] = {}
    owned: dict[Path, dict[str, Declared]] = {file.real: {} for file in files}
    for file in files:
        for item in file.tree.items:
            if not isinstance(item, syntax.Param | syntax.Declaration):
                continue
            declared = Declared(_kind(item), item.name, file.shown)
            _check_reserved(declared, sink)
            earlier = names.get(item.name.text)
            if earlier is not None:
                _report_double(declared, earlier, sink)
                continue
            names[item.name.text] = declared
            nodes[item.name.text] = item
            owned[file.real][item.name.text] = declared
    by_file = {
        file.real: {
            name: declared
            for reached in file.reached()
            for name, declared in owned[reached.real].items()
        }
        for file in files
    }
    return Namespace(names, nodes, by_file)


def _kind(item: syntax.Param | syntax.Declaration) -> Kind:
    return "param" if isinstance(item, syntax.Param) else item.kind


def _check_reserved(declared: Declared, sink: Sink) -> None:
    name = declared.name.text
    why = reserved(name)
    if why is not None:
        message = f"`{name}` is {why} and cannot name {ARTICLES[declared.kind]}"
        help_ = f"call it `my_{name}`, for example"
        sink.reject(error("HQ203", message, declared.name.span, help=help_))


def _report_double(declared: Declared, earlier: Declared, sink: Sink) -> None:
    name = declared.name.text
    message = f"`{name}` is declared twice"
    if declared.kind != earlier.kind:
        message += f": as {ARTICLES[earlier.kind]} and as {ARTICLES[declared.kind]}"
    labels = (Label(span=earlier.name.span, message="first here"),)
    help_ = "params, models, datasets and targets share one namespace"
    sink.reject(error("HQ202", message, declared.name.span, labels=labels, help=help_))


def warn_unused(main: SourceFile, spaces: Namespace, used: set[str], sink: Sink) -> None:
    """Warn about declarations of the main file, and imports, of which nothing is used."""
    lines = main.tree.text.split("\n")
    for declared in spaces.by_file[main.real].values():
        if declared.file == main.shown and declared.name.text not in used:
            message = f"{declared.kind} `{declared.name.text}` is never used"
            fix = removal(spaces.nodes[declared.name.text].span, lines, sure=False)
            sink.warn(
                warning("HQ214", message, declared.name.span, help="use it or remove it", fix=fix)
            )
    for item, imported in main.imports:
        if imported is not None and not used & set(spaces.by_file[imported.real]):
            message = f'nothing of "{item.path.value}" is used'
            fix = removal(item.span, lines)
            sink.warn(warning("HQ215", message, item.span, help="remove the import", fix=fix))
