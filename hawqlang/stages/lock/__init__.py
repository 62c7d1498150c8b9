"""``SPEC.hawq.lock`` and saved plans: what a build was made from, kept beside its spec."""
