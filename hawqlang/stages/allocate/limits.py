"""How much work a search may do. Counts of work only: a clock would make results vary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The work allowed to one minimisation."""

    direct: int = 300_000
    """Z3's work counter for one question about the whole core."""
    leaf: int = 300_000
    """The same for one leaf of branch and bound."""
    mip_nodes: int = 200
    """Nodes of the MIP solver that looks for a good point of a core of few rows; 0: it is not asked."""
    nodes: int = 6000
    """Nodes of branch and bound."""


NORMAL = Limits()
