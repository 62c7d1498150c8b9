"""Allocation: candidates and constraints to one precision per layer, proven; the verb is ``solve.allocate``."""
