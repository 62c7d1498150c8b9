"""What the zoo says about one network: how it is built, its arguments, how public files spell its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from hawqlang.stages.import_model.weights import Spelling

Number = int | Fraction


@dataclass(frozen=True, slots=True)
class Argument:
    """A number that ``zoo("name", …)`` takes."""

    name: str
    default: Number
    minimum: Number
    maximum: Number
    whole: bool = True
    """Whether only whole numbers make sense."""


@dataclass(frozen=True, slots=True)
class Network:
    """An entry of the zoo."""

    name: str
    write: Callable[..., str]
    """``write(builder, input, **arguments)`` gives the value that holds the logits."""
    arguments: tuple[Argument, ...]
    spellings: tuple[Spelling, ...] = (str,)
    """How public files name a tensor, as functions of the name it has here."""


def classes(default: int) -> Argument:
    """Return the argument for the number of outputs."""
    return Argument(name="classes", default=default, minimum=1, maximum=1_000_000)
