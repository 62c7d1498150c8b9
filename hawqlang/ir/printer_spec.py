"""Spec → text: one valid ``.hawq`` file, every default, override and import written out.

The text resolves to the same spec, places aside. Paths are written as the spec holds them, so a
spec that was resolved with a relative path has to be saved in the working directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from hawqlang.base import Precision
from hawqlang.ir import spec
from hawqlang.ir.literals import number_text, quantity_text, string_text

_STEP = "  "


def print_spec(resolved: spec.Spec) -> str:
    """Return the text of a spec."""
    parts = [[f"hawq {resolved.version}"]]
    if resolved.params:
        parts.append([f"param {p.name}: {p.type} = {p.text}" for p in resolved.params])
    builds = resolved.builds
    models = {m.name: m for m in (*resolved.models, *(b.model for b in builds))}
    used_data = [b.dataset for b in builds if b.dataset is not None]
    datasets = {d.name: d for d in (*resolved.datasets, *used_data)}
    targets = {t.name: t for t in (*resolved.targets, *(b.target for b in builds))}
    parts += [list(_model(m)) for m in models.values()]
    parts += [list(_dataset(d)) for d in datasets.values()]
    parts += [list(_target(t)) for t in targets.values()]
    taken = frozenset((*(p.name for p in resolved.params), *models, *datasets, *targets))
    parts += [list(_build(b, taken)) for b in builds]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


# ---- layout --------------------------------------------------------------------------------------


def _block(head: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{head} {{"
    for line in lines:
        yield f"{_STEP}{line}" if line else ""
    yield "}"


def _aligned(settings: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield ``name = value`` with the equals signs in one column."""
    rows = list(settings)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        yield f"{name.ljust(width)} = {value}"


def _call(function: str, *arguments: str) -> str:
    return f"{function}({', '.join(arguments)})"


def _list(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _scalar(value: Fraction | str | bool) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return string_text(value)
        case Fraction():
            return number_text(value)


def _free(arguments: tuple[tuple[str, Fraction | str | bool], ...]) -> list[str]:
    return [f"{name} = {_scalar(value)}" for name, value in arguments]


# ---- declarations --------------------------------------------------------------------------------


def _model(model: spec.Model) -> Iterator[str]:
    settings = [("source", _source(model.source))]
    if model.weights is not None:
        arguments = [string_text(model.weights.path)]
        if model.weights.sha256 is not None:
            arguments.append(f"sha256 = {string_text(model.weights.sha256)}")
        settings.append(("weights", _call("file", *arguments)))
    if model.input is not None:
        settings.append(("input", _input(model.input)))
    return _block(f"model {model.name}", _aligned(settings))


def _source(source: spec.Source) -> str:
    match source:
        case spec.ZooSource():
            return _call("zoo", string_text(source.name), *_free(source.arguments))
        case spec.PythonCall():
            return _python(source)
        case spec.OnnxSource() | spec.Pt2Source() | spec.LayersSource():
            return _call(source.kind, string_text(source.path))


def _python(call: spec.PythonCall) -> str:
    return _call("python", string_text(call.factory), *_free(call.arguments))


def _input(entering: spec.Input) -> str:
    match entering:
        case spec.ImageInput():
            return _call(
                "image",
                str(entering.height),
                str(entering.width),
                f"channels = {entering.channels}",
                f"mean = {_list(map(number_text, entering.mean))}",
                f"std = {_list(map(number_text, entering.std))}",
                f"scale = {number_text(entering.scale)}",
                f"order = {entering.order}",
            )
        case spec.TensorInput():
            return _call(
                "tensor",
                _list(map(str, entering.dims)),
                f"low = {number_text(entering.low)}",
                f"high = {number_text(entering.high)}",
            )


def _dataset(dataset: spec.Dataset) -> Iterator[str]:
    parts = (
        ("calibration", dataset.calibration),
        ("evaluation", dataset.evaluation),
        ("training", dataset.training),
    )
    settings = [(name, _data(data)) for name, data in parts if data is not None]
    return _block(f"dataset {dataset.name}", _aligned(settings))


def _data(data: spec.Data) -> str:
    match data:
        case spec.ImagesData():
            arguments = [string_text(data.folder)]
            if data.labels is not None:
                arguments.append(f"labels = {string_text(data.labels)}")
            if data.resize is not None:
                arguments.append(f"resize = {data.resize}")
            if data.crop is not None:
                arguments.append(f"crop = {data.crop}")
            return _call("images", *arguments, _count(data.count))
        case spec.ArraysData():
            arguments = [string_text(data.path), f"images = {string_text(data.images)}"]
            if data.labels is not None:
                arguments.append(f"labels = {string_text(data.labels)}")
            return _call("arrays", *arguments, _count(data.count))
        case spec.ZeroShotData():
            return _call("zero_shot", str(data.count), f"steps = {data.steps}")
        case spec.PythonData():
            return _python(data.call)


def _count(count: int | None) -> str:
    return f"count = {'all' if count is None else count}"


def _target(target: spec.Target) -> Iterator[str]:
    settings = [("batch", str(target.batch))]
    if target.device.family != "nvidia":
        settings.append(("threads", str(target.threads)))
    latency = target.latency
    if isinstance(latency, spec.ProfileLatency):
        latency = _call("profile", string_text(latency.path))
    settings.append(("latency", latency))
    if target.device.name != "custom":
        settings.insert(0, ("device", target.device.name))
        return _block(f"target {target.name}", _aligned(settings))
    lines = [*_block("device", _device(target.device)), "", *_aligned(settings)]
    return _block(f"target {target.name}", lines)


def _device(device: spec.Device) -> Iterator[str]:
    rates = [(str(at), quantity_text(rate, "macs/s")) for at, rate in device.rates]
    settings = [("bandwidth", quantity_text(device.bandwidth, "size/s"))]
    if device.cache is not None:
        settings.append(("cache", quantity_text(device.cache, "size")))
    settings.append(("launch", quantity_text(device.launch, "time")))
    if device.arch is not None:
        settings.append(("arch", string_text(device.arch)))
    yield f"native = {_precisions(device.native)}"
    yield from _block("rates", _aligned(rates))
    yield from _aligned(settings)


# ---- quantize ------------------------------------------------------------------------------------


def _build(build: spec.Build, taken: frozenset[str]) -> Iterator[str]:
    data = "" if build.dataset is None else f" with {build.dataset.name}"
    head = f"quantize {build.model.name} on {build.target.name}{data} as {build.name}"
    sections = [
        list(_aligned(_settings(build))),
        list(_block("weights", _aligned(_weights(build.weights)))),
        list(_block("activations", _aligned(_activations(build.activations)))),
        *(list(_rule(rule)) for rule in build.layer_rules),
        list(_objective(build.objective)),
    ]
    if build.constraints:
        named = _named((f"{c.name}:", c.text) for c in build.constraints)
        sections.append(list(_block("subject to", named)))
    sections.append([line for emit in build.emits for line in _emit(emit, taken)])
    lines = [line for section in sections for line in (*section, "")]
    return _block(head, lines[:-1])


def _named(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    found = list(rows)
    width = max(len(name) for name, _ in found)
    for name, text in found:
        yield f"{name.ljust(width)} {text}"


def _precisions(precisions: tuple[Precision, ...]) -> str:
    return _list(str(precision) for precision in precisions)


def _settings(build: spec.Build) -> Iterator[tuple[str, str]]:
    if build.precision:
        yield "precision", _precisions(build.precision)
    yield "residual", str(build.residual)
    yield "accumulator", build.accumulator
    yield "bias_correction", _scalar(build.bias_correction)
    if build.model.source.kind != "layers":
        yield "sensitivity", _sensitivity(build.sensitivity)
    yield "effort", build.effort
    yield "finetune", _finetune(build.finetune)
    yield "attempts", str(build.attempts)
    yield "seed", str(build.seed)


def _sensitivity(sensitivity: spec.Sensitivity) -> str:
    match sensitivity:
        case spec.HessianSensitivity():
            return _call(
                "hessian",
                f"probes = {sensitivity.probes}",
                f"tolerance = {quantity_text(sensitivity.tolerance, 'ratio')}",
                f"samples = {sensitivity.samples}",
            )
        case spec.FileSensitivity():
            return _call("file", string_text(sensitivity.path))
        case spec.NamedSensitivity():
            return sensitivity.kind + (f"(samples = {n})" if (n := sensitivity.samples) else "")


def _finetune(finetune: spec.Finetune | str | None) -> str:
    if not isinstance(finetune, spec.Finetune):
        return "none"
    arguments = [f"epochs = {finetune.epochs}", *_free(finetune.arguments)]
    if finetune.levels:
        arguments.insert(0, f"levels = {_list(map(str, finetune.levels))}")
    return _call(finetune.method, *arguments)


def _weights(weights: spec.WeightSettings) -> Iterator[tuple[str, str]]:
    yield "granularity", _granularity(weights.granularity)
    yield "scheme", weights.scheme
    yield "range", _range(weights.range)
    yield "rounding", weights.rounding


def _activations(activations: spec.ActivationSettings) -> Iterator[tuple[str, str]]:
    yield "granularity", activations.granularity
    yield "scheme", activations.scheme
    if not isinstance(activations.range, spec.Automatic):
        yield "range", _range(activations.range)


def _granularity(granularity: str | spec.GroupSize) -> str:
    if isinstance(granularity, spec.GroupSize):
        return _call("group", str(granularity.size))
    return granularity


def _range(range_: spec.Range) -> str:
    """Return a range method as it is written; the automatic one is what is not written."""
    match range_:
        case spec.Automatic():
            raise ValueError("the automatic range has no word")
        case spec.Percentile():
            return _call("percentile", quantity_text(range_.p, "ratio"))
        case spec.Ema():
            return _call("ema", number_text(range_.momentum))
        case spec.MinMax() | spec.Mse() | spec.Entropy():
            return range_.kind


def _rule(rule: spec.LayerRule) -> Iterator[str]:
    settings = (
        ("precision", rule.precision and _precisions(rule.precision)),
        ("accumulator", rule.accumulator),
        (
            "bias_correction",
            None if rule.bias_correction is None else _scalar(rule.bias_correction),
        ),
        ("finetune", rule.finetune and _finetune(rule.finetune)),
    )
    weights = (
        ("granularity", rule.granularity and _granularity(rule.granularity)),
        ("scheme", rule.weight_scheme),
        ("range", rule.weight_range and _range(rule.weight_range)),
        ("rounding", rule.rounding),
    )
    activations = (
        ("scheme", rule.activation_scheme),
        ("range", rule.activation_range and _range(rule.activation_range)),
    )
    lines = [*_aligned(_given(settings))]
    for name, block in (("weights", weights), ("activations", activations)):
        given = list(_given(block))
        if given:
            lines += _block(name, _aligned(given))
    return _block(f"layer {print_selector(rule.selector)}", lines)


def _given(settings: Iterable[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    """Yield the settings that have a value."""
    for name, value in settings:
        if isinstance(value, str):
            yield name, value


def _objective(goals: tuple[spec.Goal, ...]) -> Iterator[str]:
    """Yield one statement per run of goals with one sense."""
    runs: list[tuple[str, list[str]]] = []
    for goal in goals:
        if not runs or runs[-1][0] != goal.sense:
            runs.append((goal.sense, []))
        runs[-1][1].append(_goal(goal))
    for sense, texts in runs:
        yield f"{sense} {', '.join(texts)}"


def _goal(goal: spec.Goal) -> str:
    text = goal.metric.metric
    if goal.metric.selector is not None:
        text = _call(text, print_selector(goal.metric.selector))
    if goal.within != 0:
        text += f" within {quantity_text(goal.within, 'ratio')}"
    return text


def _emit(emit: spec.Emit, taken: frozenset[str]) -> Iterator[str]:
    settings: list[tuple[str, str]] = []
    if emit.cpu is not None:
        settings.append(("cpu", _word(emit.cpu, taken)))
    if emit.arch:
        settings.append(("arch", _list(_word(arch, taken) for arch in emit.arch)))
    if emit.opset is not None:
        settings.append(("opset", str(emit.opset)))
    if settings:
        return _block(f"emit {emit.what}", _aligned(settings))
    return iter([f"emit {emit.what}"])


def _word(text: str, taken: frozenset[str]) -> str:
    """Return a free word bare, or as a string where a declaration or the lexis would catch it."""
    return (
        text if text.isidentifier() and text.isascii() and text not in taken else string_text(text)
    )


# ---- selectors -----------------------------------------------------------------------------------


def print_selector(selector: spec.Selector) -> str:
    """Return a selector as it stands after ``layer``, ``each`` or in a call."""
    match selector:
        case spec.Glob():
            return string_text(selector.pattern)
        case spec.Keyword():
            return selector.word
        case spec.KernelSize():
            return f"kernel({selector.height}, {selector.width})"
        case spec.Channels():
            return f"channels {selector.op} {selector.value}"
        case spec.Union() | spec.Intersection():
            between = ", " if selector.kind == "union" else " and "
            return between.join(_closed(item) for item in selector.items)
        case spec.Difference():
            return f"{_operand(selector.base)} except {_operand(selector.minus)}"


def _closed(selector: spec.Selector) -> str:
    """Return an operand of a union or intersection."""
    text = print_selector(selector)
    match selector:
        case spec.Union() | spec.Difference() | spec.Intersection():
            return f"({text})"
        case _:
            return text


def _operand(selector: spec.Selector) -> str:
    """Return a side of ``except``, which may be a union."""
    text = print_selector(selector)
    return f"({text})" if isinstance(selector, spec.Difference) else text
