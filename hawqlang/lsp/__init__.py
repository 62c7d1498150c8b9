"""The language server: what the compiler knows of a spec, shown while it is typed. Nothing a spec names is run."""
