"""Diagnostics as values: what is wrong, where, and what to write instead."""

from hawqlang.diagnostics.model import Diagnostic, Fix, HawqError, Label, Severity, ToolError

__all__ = ["Diagnostic", "Fix", "HawqError", "Label", "Severity", "ToolError"]
