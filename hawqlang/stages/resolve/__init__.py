"""SyntaxTree → Spec: names resolved, units converted, defaults filled in, every independent error in one run."""
