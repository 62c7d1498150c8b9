"""Branch and bound: the LP proposes where to split, exact cuts and Z3 close the leaves.

A node is a domain, its children a split of one variable's choices in two: together they are the
node, so a problem is closed when every leaf is. A leaf is closed by an exact cut over its domain
(a bound or a refutation), by a single point that is evaluated, or by Z3. Nothing of the LP is
trusted but its suggestions.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from hawqlang.stages.allocate.covers import cover, knapsack, supports
from hawqlang.stages.allocate.cut import cut, refutation
from hawqlang.stages.allocate.highs import Floats, Relaxation
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import (
    Coefs,
    Domain,
    Point,
    Problem,
    Row,
    differing,
    everything,
)
from hawqlang.stages.allocate.pseudo_boolean import Judge
from hawqlang.stages.allocate.rounding import Rounding

MOST_COVERS = 150
"""Rows added on the way at most; more would slow every node down."""


@dataclass(frozen=True, slots=True)
class Branching:
    """The problem to split."""

    problem: Problem
    cost: Coefs
    limits: Limits
    asked: tuple[int, ...] | None = None
    """Variables to look at when asking whether the cheapest point is unique; ``None``: not asked.

    Then the ceiling is one above the cost of a point that is known, and that a row excludes.
    """


@dataclass(frozen=True, slots=True)
class Found:
    """The best point cheaper than the ceiling (than the known point), and what is proven."""

    point: Point | None
    closed: bool
    """Nothing is cheaper than ``point``, or than the ceiling where it is ``None``."""
    bound: int
    """No point below the ceiling is cheaper than this."""
    tied: bool = False
    """Another point costs as little (as the known one, where ``point`` is ``None``)."""


@dataclass(order=True, slots=True)
class _Node:
    bound: int
    number: int
    domain: Domain = field(compare=False)


def branch(task: Branching, ceiling: int) -> Found:
    """Return the cheapest point that costs less than ``ceiling``, proven as far as limits allow."""
    search = _Tree(task, ceiling)
    for _ in range(task.limits.nodes):
        node = search.next()
        if node is None:
            break
        search.visit(node)
    node = search.next()
    if node is None:
        return Found(search.best, closed=True, bound=search.ceiling, tied=search.tied)
    return Found(search.best, closed=False, bound=node.bound, tied=search.tied)


class _Tree:
    """The open nodes, cheapest bound first, and the best point."""

    def __init__(self, task: Branching, ceiling: int) -> None:
        self.task = task
        self.ceiling = ceiling
        self.best: Point | None = None
        self.tied = False
        self.known = ceiling - 1
        self.relaxation = Relaxation(task.problem, task.cost)
        self.open: list[_Node] = [_Node(0, 0, everything(task.problem))]
        self.sources = [knapsack(row) for row in task.problem.rows if not row.implied]
        self.most_rows = len(task.problem.rows) + MOST_COVERS
        self.rounding = Rounding(task.problem, task.cost)
        self.made = 0
        self.visited = 0

    def next(self) -> _Node | None:
        """Return the open node with the lowest bound below the ceiling."""
        while self.open:
            node = heapq.heappop(self.open)
            if node.bound < self.ceiling:
                return node
        return None

    def visit(self, node: _Node) -> None:
        """Close a node or split it."""
        self.visited += 1
        if self._is_single(node.domain):
            self._offer(tuple(choices[0] for choices in node.domain))
            return
        self.relaxation.forbid(self.relaxation.columns(node.domain))
        solved = self.relaxation.solve()
        problem, cost = self.relaxation.problem, self.task.cost
        if solved.status == "optimal":
            near = self.relaxation.choices(solved.x)
            if self._offer(near) and self.task.asked is not None:
                heapq.heappush(self.open, node)  # now without that point
                return
            if self.visited < 20 or self.visited % 20 == 0:
                self._offer(self.rounding.near(near))
            made = cut(problem, cost, solved.multipliers)
            domain = made.within(node.domain, self.ceiling - 1)
            if domain is not None:
                self._add_covers(solved.x)
                self._split(domain, max(node.bound, made.bound_over(node.domain)), solved.x)
            return
        ray = refutation(problem, solved.multipliers) if solved.status == "infeasible" else None
        if ray is not None and ray.within(node.domain, 0) is None:
            return
        self._ask(node)

    def _add_covers(self, x: Floats) -> None:
        """Add covers that the LP solution breaks; they hold in every node."""
        if len(self.relaxation.problem.rows) >= self.most_rows:
            return
        parts = supports(self.relaxation.parts(x))
        found = (cover(source, parts) for source in self.sources)
        self.relaxation.add([one for one in found if one is not None])

    def _ask(self, node: _Node) -> None:
        """Let Z3 decide a node that the LP could not; split it where it cannot either."""
        judge = Judge(self.task.problem)
        judge.add(Row("", self.task.cost, self.ceiling - 1))
        for v, choices in enumerate(node.domain):
            judge.require_one([(v, choice) for choice in choices])
        answer = judge.check(self.task.limits.leaf)
        if answer.status == "unsat":
            return
        self._offer(answer.point)
        self._split(node.domain, node.bound, None)

    def _split(self, domain: Domain, bound: int, x: Floats | None) -> None:
        if self._is_single(domain):
            self._offer(tuple(choices[0] for choices in domain))
            return
        v, first = self._where(domain, x)
        rest = tuple(choice for choice in domain[v] if choice not in first)
        for part in (first, rest):
            self.made += 1
            child = (*domain[:v], part, *domain[v + 1 :])
            heapq.heappush(self.open, _Node(bound, self.made, child))

    def _where(self, domain: Domain, x: Floats | None) -> tuple[int, tuple[int, ...]]:
        """Return the variable to split and the choices of the first part."""
        free = [v for v, choices in enumerate(domain) if len(choices) > 1]
        if x is None:
            return free[0], domain[free[0]][:1]
        offsets = self.relaxation.offsets
        best, score = (free[0], domain[free[0]][0]), -1.0
        for v in free:
            weights = [float(x[offsets[v] + choice]) for choice in domain[v]]
            top = max(weights)
            values = self.task.cost.get(v, (0,))
            worth = (1.0 - top) * float(max(values) - min(values)) ** 0.5
            if top < 1 - 1e-6 and worth > score:
                best, score = (v, domain[v][weights.index(top)]), worth
        return best[0], (best[1],)

    def _offer(self, point: Point | None) -> bool:
        """Take a point as the best if it meets the rows and is cheaper; say whether it was."""
        if point is None or not self.task.problem.satisfied(point):
            return False
        price = sum(values[point[v]] for v, values in self.task.cost.items())
        if price >= self.ceiling:
            return False
        asked = self.task.asked
        if asked is None:
            self.best, self.ceiling = point, price
            return True
        if price == self.known:
            if self.best is None or any(point[v] != self.best[v] for v in asked):
                self.tied, self.ceiling = True, price
            return False
        self.best, self.known, self.ceiling, self.tied = point, price, price + 1, False
        self.relaxation.add([differing(self.task.problem, asked, point)])
        return True

    @staticmethod
    def _is_single(domain: Domain) -> bool:
        return all(len(choices) == 1 for choices in domain)
