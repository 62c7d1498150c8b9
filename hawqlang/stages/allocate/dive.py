"""A good point by diving: follow the LP down, fixing what it has all but decided.

After every LP the choices it has made are fixed, and with them the clearest of those it has not;
what that rules out by a single row goes too. At a dead end the last such choice is taken back.
The result is a proposal like any other: who asks for it checks it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.stages.allocate.highs import Floats, Relaxation
from hawqlang.stages.allocate.problem import (
    Coefs,
    Domain,
    Point,
    Problem,
    Propagator,
    everything,
    mask_of,
)

DECIDED = 1 - 1e-6
"""A choice that the LP gives at least this much is made."""

DEAD_ENDS = 40
"""How many choices may be taken back."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """A choice that the LP has not made itself, and the domain before it."""

    before: Domain
    v: int
    choice: int

    def taken_back(self) -> Domain:
        """Return the domain without the choice."""
        rest = tuple(one for one in self.before[self.v] if one != self.choice)
        return (*self.before[: self.v], rest, *self.before[self.v + 1 :])


def dive(problem: Problem, cost: Coefs) -> Point | None:
    """Return a point that should meet the rows, ``None`` where the dive ends without one."""
    relaxation = Relaxation(problem, cost)
    propagator = Propagator(problem)
    domain = propagator.tightened(everything(problem), range(len(problem.sizes)))
    made: list[_Choice] = []
    dead_ends = 0
    while True:
        solved = None
        if domain is not None:
            relaxation.forbid(mask_of(relaxation.offsets, domain))
            solved = relaxation.solve()
        if domain is None or solved is None or solved.status != "optimal":
            if not made or dead_ends == DEAD_ENDS:
                return None
            dead_ends += 1
            last = made.pop()
            domain = propagator.tightened(last.taken_back(), (last.v,))
            continue
        followed, choice = _follow(relaxation, domain, solved.x)
        if choice is None:
            return relaxation.choices(solved.x)
        made.append(choice)
        changed = [v for v, own in enumerate(followed) if len(own) < len(domain[v])]
        domain = propagator.tightened(followed, changed)


def _follow(relaxation: Relaxation, domain: Domain, x: Floats) -> tuple[Domain, _Choice | None]:
    """Return the domain with what the LP decided fixed and one more choice made; which one."""
    fixed = list(domain)
    clearest, v, choice = -1.0, 0, 0
    for i, support in enumerate(relaxation.supports(x)):
        if len(domain[i]) == 1:
            continue
        best, part = max(support, key=lambda one: one[1])
        if part >= DECIDED:
            fixed[i] = (best,)
        elif part > clearest:
            clearest, v, choice = part, i, best
    if clearest < 0:
        return tuple(fixed), None
    before = tuple(fixed)
    fixed[v] = (choice,)
    return tuple(fixed), _Choice(before, v, choice)
