"""`hawqc show`: the resolved spec."""

from __future__ import annotations

from hawqlang.cli.common import SetOption, SpecArgument, TrustOption, guarded, split_build
from hawqlang.cli.specs import read_spec


@guarded
def show(file: SpecArgument, set_: SetOption = None, trust: TrustOption = False) -> None:
    """Print the resolved spec: every import, default and override written out."""
    import sys

    from hawqlang.ir.printer_spec import print_spec

    path, _ = split_build(file)
    sys.stdout.write(print_spec(read_spec(path, set_, trust=trust)))
