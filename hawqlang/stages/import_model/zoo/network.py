"""What the zoo says of a network: how it is built, its arguments, how public files spell its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

Number = int | Fraction

Spelling = Callable[[str], str]
"""Maps a tensor's name in the network to its name in a weight file."""


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
    ignored: tuple[str, ...] = ()
    """What keys of weight files begin with that the network does not use: parts for training only."""


def classes(default: int) -> Argument:
    """Return the argument for the number of outputs."""
    return Argument(name="classes", default=default, minimum=1, maximum=1_000_000)


WIDTH = Argument(name="width", default=1, minimum=Fraction(1, 16), maximum=Fraction(4), whole=False)
"""The argument that multiplies the channels of a MobileNet."""
