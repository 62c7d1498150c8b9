"""hawqc: a compiler for integer-only neural networks."""

__version__ = "0.1.0"
