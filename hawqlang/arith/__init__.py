"""Arithmetic shared by solver, interpreter, lowering and kernels."""
