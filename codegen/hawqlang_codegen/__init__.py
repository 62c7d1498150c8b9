"""The back ends of hawqc."""
