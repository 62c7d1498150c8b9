"""Branch and bound: the LP proposes where to split, exact cuts and Z3 close the leaves.

A node is a domain, its children a split of one variable's choices in two: together they are the
node, so a problem is closed when every leaf is. A leaf is closed by an exact cut over its domain
(a bound or a refutation), by a single point that is evaluated, or by Z3. Nothing of the LP is
trusted but its suggestions.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from hawqlang.stages.allocate.covers import cover, knapsack
from hawqlang.stages.allocate.cut import Columns, Mask
from hawqlang.stages.allocate.highs import Floats, Relaxation
from hawqlang.stages.allocate.limits import Limits
from hawqlang.stages.allocate.problem import (
    Coefs,
    Point,
    Problem,
    Row,
    differing,
    domain_of,
)
from hawqlang.stages.allocate.pseudo_boolean import Judge
from hawqlang.stages.allocate.rounding import Rounding

MOST_COVERS = 60
"""Rows added on the way at most; more would slow every node down."""


MIXED = 1e-6
"""Up to this much of a choice, or of a cost, is none."""


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
    slack: int = 0
    """By how much another point may cost more and still counts as cheap as the cheapest.

    The ceiling is that much higher, where uniqueness is asked for.
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
    allowed: Mask = field(compare=False)


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
        self.known = ceiling - 1 - task.slack
        self.relaxation = Relaxation(task.problem, task.cost)
        self.columns = Columns(task.problem, task.cost)
        self.starts = task.problem.starts()
        whole = np.ones(int(self.starts[-1]), dtype=np.bool_)
        self.open: list[_Node] = [_Node(0, 0, whole)]
        self.sources = [
            knapsack(row) for row in task.problem.rows if not (row.implied or row.is_clause())
        ]
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
        if self._is_single(node.allowed):
            self._offer(self._single(node.allowed))
            return
        self.relaxation.forbid(node.allowed)
        solved = self.relaxation.solve()
        if solved.status == "optimal":
            made = self.columns.cut(solved.multipliers)
            near = self.relaxation.choices(solved.x)
            if self._offer(near) and self.task.asked is not None:
                heapq.heappush(self.open, node)  # now without that point
                return
            if self.visited < 20 or self.visited % 20 == 0:
                self._offer(self.rounding.near(near))
            kept = made.kept(node.allowed, self.ceiling - 1)
            if kept is not None:
                self._add_covers(solved.x)
                self._split(kept, max(node.bound, made.bound_over(node.allowed)), solved.x)
            return
        refuted = solved.status == "infeasible"
        ray = self.columns.refutation(solved.multipliers) if refuted else None
        if ray is not None and ray.kept(node.allowed, 0) is None:
            return
        self._ask(node)

    def _add(self, rows: list[Row]) -> None:
        self.relaxation.add(rows)
        self.columns.add(rows)

    def _add_covers(self, x: Floats) -> None:
        """Add covers that the LP solution breaks; they hold in every node."""
        if len(self.relaxation.problem.rows) >= self.most_rows:
            return
        parts = self.relaxation.supports(x)
        found = (cover(source, parts) for source in self.sources)
        self._add([one for one in found if one is not None])

    def _ask(self, node: _Node) -> None:
        """Let Z3 decide a node that the LP could not; split it where it cannot either."""
        judge = Judge(self.task.problem)
        judge.add(Row("", self.task.cost, self.ceiling - 1))
        for v, choices in enumerate(domain_of(self.starts, node.allowed)):
            judge.require_one([(v, choice) for choice in choices])
        answer = judge.check(self.task.limits.leaf)
        if answer.status == "unsat":
            return
        self._offer(answer.point)
        self._split(node.allowed, node.bound, None)

    def _split(self, allowed: Mask, bound: int, x: Floats | None) -> None:
        if self._is_single(allowed):
            self._offer(self._single(allowed))
            return
        v, first = self._where(allowed, x)
        own = self._columns_of(v)
        for part in (first, ~first):
            child = allowed.copy()
            child[own] &= part
            if not child[own].any():
                continue
            self.made += 1
            heapq.heappush(self.open, _Node(bound, self.made, child))

    def _where(self, allowed: Mask, x: Floats | None) -> tuple[int, Mask]:
        """Return the variable to split, and which of its choices make the first part.

        An LP solution mixes choices. At what it pays for a variable none is to be had: the cheaper
        ones and the dearer ones are the parts, of the variable that pays most to go to either.
        """
        if x is not None:
            firsts, price = self.starts[:-1], self.relaxation.costs
            used = allowed & (x > MIXED)
            paid = np.add.reduceat(np.where(allowed, x * price, 0.0), firsts)
            least = np.minimum.reduceat(np.where(used, price, np.inf), firsts)
            most = np.maximum.reduceat(np.where(used, price, -np.inf), firsts)
            worth = np.minimum(paid - least, most - paid)
            v = int(worth.argmax())
            if worth[v] > MIXED:
                return v, price[self._columns_of(v)] <= paid[v]
            top = np.maximum.reduceat(np.where(allowed, x, 0.0), firsts)
            v = int(top.argmin())
            if top[v] < 1 - MIXED:
                own = x[self._columns_of(v)]
                return v, np.arange(len(own)) == own.argmax()  # of equal ones the first
        v = int((np.add.reduceat(allowed, self.starts[:-1], dtype=np.int64) > 1).argmax())
        own = allowed[self._columns_of(v)]
        return v, np.arange(len(own)) == own.argmax()

    def _columns_of(self, v: int) -> slice:
        return slice(int(self.starts[v]), int(self.starts[v + 1]))

    def _is_single(self, allowed: Mask) -> bool:
        return int(np.count_nonzero(allowed)) == len(self.starts) - 1

    def _single(self, allowed: Mask) -> Point:
        return tuple(choices[0] for choices in domain_of(self.starts, allowed))

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
        if price >= self.known:
            if self.best is None or any(point[v] != self.best[v] for v in asked):
                self.tied, self.ceiling = True, self.known
            return False
        slack = self.task.slack
        self.tied = price + slack >= self.known or (self.tied and slack > 0)
        self.best, self.known = point, price
        self.ceiling = price if self.tied else price + slack + 1
        self._add([differing(self.task.problem, asked, point)])
        return True
