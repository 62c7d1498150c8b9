"""The TVM back end: TIR for x86-64 CPUs."""
