"""A plan for people: the table of layers, totals, constraints, the runner-up, and one layer at length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from rich.table import Table

from hawqlang import units
from hawqlang.base import Precision
from hawqlang.cli.common import stdout
from hawqlang.diagnostics import Diagnostic, ToolError
from hawqlang.diagnostics.suggest import nearest
from hawqlang.ir.plan import (
    BitPlan,
    ConstraintResult,
    Excess,
    LayerChoice,
    Price,
    RunnerUp,
    Why,
)
from hawqlang.stages.allocate.report import changes_text

SIDE_BY_SIDE = 3
"""Candidates up to which the table shows every sensitivity; with more, the chosen one's."""
NAMED = 3
"""Changes of other layers that one line names; the rest is counted."""
RESOURCES = (("size", "size"), ("bops", "work"), ("latency", "time"))
UNITS = {"size_bytes": "B", "bops": "BOPS", "macs": "MACs", "latency_us": "us"}
WORDS = {
    "size_bytes": "size",
    "bops": "work",
    "macs": "MACs",
    "latency_us": "modelled latency",
    "average_wbits": "average weight bits",
    "average_abits": "average activation bits",
    "peak_memory_bytes": "peak memory",
}


def print_plan(found: BitPlan, asked: Sequence[str] = ()) -> None:
    """Print the table of layers, totals, constraints and the runner-up; the layers ``asked`` about at length."""
    stdout.print(f"\n[bold]{found.build}[/bold]  {_status(found)}")
    stdout.print(_table(found))
    for line in _below(found):
        stdout.print(line, markup=False, soft_wrap=True)
    for choice in found.layers:
        if choice.name in asked:
            stdout.print()
            for line in _at_length(choice, found):
                stdout.print(line, markup=False, soft_wrap=True)


def asked_about(names: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the layers that ``--why`` names: patterns with ``*``, or ``all``.

    Raises:
        ToolError: a pattern matches no layer (HQ846).
    """
    known = tuple(names)
    found: set[str] = set()
    for pattern in patterns:
        meant = "*" if pattern == "all" else pattern
        hits = [name for name in known if fnmatchcase(name, meant)]
        if not hits:
            near = nearest(pattern, known) or known[:NAMED]
            raise ToolError(
                Diagnostic(
                    code="HQ846",
                    severity="error",
                    message=f"no layer is called '{pattern}'",
                    help="there is " + ", ".join(f"`{name}`" for name in near),
                )
            )
        found.update(hits)
    return tuple(name for name in known if name in found)


# ---- table -------------------------------------------------------------------------------------


def _table(found: BitPlan) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    explained = any(choice.why for choice in found.layers)
    resources = [(key, word) for key, word in RESOURCES if key in dict(found.layers[0].share)]
    offered = tuple(dict.fromkeys(p for choice in found.layers for p in choice.candidates))
    measured = any(choice.sensitivity for choice in found.layers)
    by_candidate = measured and len(offered) <= SIDE_BY_SIDE
    table.add_column("layer", overflow="fold", min_width=max(len(c.name) for c in found.layers))
    table.add_column("bits", no_wrap=True)
    for _, word in resources:
        table.add_column(word, justify="right", no_wrap=True)
    if by_candidate:
        for precision in offered:
            table.add_column(f"Ω {precision}", justify="right", no_wrap=True)
    elif measured:
        table.add_column("Ω", justify="right", no_wrap=True)
    if explained:
        table.add_column("why", overflow="fold")
        table.add_column("next step", no_wrap=True)
    for choice in found.layers:
        share = dict(choice.share)
        row = [choice.name, str(choice.precision)]
        row += [f"{share.get(key, 0):.1%}" for key, _ in resources]
        if measured:
            row += _sensitivities(choice, offered if by_candidate else (choice.precision,))
        if explained:
            row += [_short(choice.why), _step(choice, found)]
        table.add_row(*row)
    return table


def _sensitivities(choice: LayerChoice, shown: Sequence[Precision]) -> Iterator[str]:
    values = dict(choice.sensitivity)
    for precision in shown:
        cost = values.get(precision)
        yield "" if cost is None else f"{cost:.1e}"


def _short(why: Why | None) -> str:
    """Return the reason in a word or two: the names of the constraints that bind, or the kind."""
    if why is None:
        return ""
    match why.kind:
        case "bound":
            return ", ".join(one.constraint for one in why.breaks)
        case "required":
            return "by " + (", ".join(one.constraint for one in why.breaks) or "all together")
        case "only":
            return "no choice"
        case "goal":
            return "no gain"
        case "free" | "open":
            return why.kind


def _step(choice: LayerChoice, found: BitPlan) -> str:
    """Return what the next step would cost: ``w8a8 +1.3 %``."""
    price = choice.price
    if price is None:
        return ""
    if price.change is None:
        return f"{price.precision} cannot"
    return f"{price.precision} {_at_most(price)}{_relative(price.change, price.goal, found)}"


def _at_most(price: Price) -> str:
    return "" if price.change == price.bound else "at most "


def _relative(change: float, goal: str, found: BitPlan) -> str:
    """Return a change of a goal as a part of the goal's value, or itself where that is 0."""
    whole = dict(found.objective).get(goal, 0.0)
    return f"{change / abs(whole):+.2%}" if whole else f"{change:+.3g}"


# ---- below the table ---------------------------------------------------------------------------


def _below(found: BitPlan) -> Iterator[str]:
    if any(choice.why for choice in found.layers):
        yield "Ω: perturbation. why: what the next wider candidate would break; free: none is wider; by NAME:"
        yield "NAME leaves no other. next step: the best plan with one step more there, against this one"
    yield "total: " + ", ".join(_totals(found))
    if found.artifact_bytes is not None:
        exact, shown = f"{found.artifact_bytes:,} B", units.size(found.artifact_bytes)
        yield f"packed: {shown} ({exact}) of weights, biases and scales in the artifact"
    for row in found.constraints:
        yield _constraint(row)
    if found.runner_up is not None:
        yield _runner_up(found.runner_up, found)


def _totals(found: BitPlan) -> Iterator[str]:
    for key, value in found.metrics:
        if key in ("size_bytes", "peak_memory_bytes"):
            yield f"{WORDS[key]} {units.size(value)}"
        elif key in ("bops", "macs"):
            yield units.work(value, UNITS[key])
        elif key == "latency_us":
            yield f"{units.duration(value / 1e6)} {found.latency_from}"
        elif key == "switches":
            yield f"{value:.0f} switches"
        else:
            yield f"{WORDS.get(key, key)} {value:.4g}"


def _runner_up(other: RunnerUp, found: BitPlan) -> str:
    changes = ", ".join(f"{goal} {_relative(by, goal, found)}" for goal, by in other.objective)
    best = "runner-up" if other.status == "optimal" else "runner-up, not proven second"
    others = [text for key, by in other.metrics if (text := _changed(key, by))]
    return f"{best}: {changes}: {changes_text(other.changes, NAMED)}" + (
        f"; {', '.join(others)}" * bool(others)
    )


def _changed(key: str, by: float) -> str:
    """Return the change of a metric that is no goal, "" where it is none."""
    if not by or key not in UNITS:
        return ""
    if key == "size_bytes":
        return f"size {_sign(by)}{units.size(abs(by))}"
    if key == "latency_us":
        return f"latency {_sign(by)}{units.duration(abs(by) / 1e6)}"
    return f"{_sign(by)}{units.work(abs(by), UNITS[key])}"


def _sign(by: float) -> str:
    return "+" if by > 0 else "−"


def _status(found: BitPlan) -> str:
    if found.status == "optimal":
        return "proven optimal" + (" among those not excluded" if found.excluded else "")
    gap = "" if found.gap is None else f", within {100 * found.gap:.2f} % of the optimum"
    return f"{found.status}{gap}"


def _constraint(row: ConstraintResult) -> str:
    text = f"  {row.name}: {row.text}"
    if row.value is None or row.bound is None:
        return text if row.holds is not None else f"{text}  (decided at build)"
    value, slack = units.quantity(row.value, row.unit), units.quantity(row.slack or 0, row.unit)
    return f"{text}  is {value}, slack {slack}"


# ---- one layer at length -----------------------------------------------------------------------


def _at_length(choice: LayerChoice, found: BitPlan) -> Iterator[str]:
    macs = units.work(choice.macs, "MACs")
    yield f"{choice.name}: {choice.kind}, {choice.params:,} weights, {macs}"
    sensitivity, latency = dict(choice.sensitivity), dict(choice.latency_us)
    for precision in choice.candidates:
        mark = "*" if precision == choice.precision else " "
        parts = [f"size {units.size(choice.params * precision.wbits / 8)}"]
        parts.append(units.work(choice.macs * precision.wbits * precision.abits, "BOPS"))
        if precision in latency:
            parts.append(units.duration(latency[precision] / 1e6))
        if precision in sensitivity:
            parts.append(f"perturbation {sensitivity[precision]:.4g}")
        yield f" {mark} {precision}: {', '.join(parts)}"
    for precision, reason in choice.dropped:
        yield f"   {precision}: refused, {reason}"
    if choice.share:
        shares = (f"{part:.2%} of {word}" for word, part in choice.share)
        yield f"   takes {', '.join(shares)}"
    if choice.why is not None:
        yield from _reason(choice.why, choice)
    if choice.price is not None:
        yield _price(choice.price, found)


def _reason(why: Why, choice: LayerChoice) -> Iterator[str]:
    over = [text for one in why.breaks if (text := _over(one))]
    yield f"   why {choice.precision}: {why.text}" + (f" ({', '.join(over)})" if over else "")
    if why.tied:
        yield f"   steps together with {', '.join(why.tied)}"


def _over(one: Excess) -> str:
    return (
        "" if one.amount is None else f"{one.constraint} by {units.quantity(one.amount, one.unit)}"
    )


def _price(price: Price, found: BitPlan) -> str:
    if price.change is None:
        return f"   no allocation has it at {price.precision}"
    proven = "" if price.bound == price.change else f", at least {price.bound:+.4g}"
    cost = (
        f"{price.goal} {_relative(price.change, price.goal, found)} ({price.change:+.4g}{proven})"
    )
    changes = f", with {changes_text(price.changes, NAMED)}" if price.changes else ""
    others = [text for key, by in price.metrics if (text := _changed(key, by))]
    rest = f"; {', '.join(others)}" if others else ""
    return f"   the best plan with {price.precision} here: {cost}{changes}{rest}"
