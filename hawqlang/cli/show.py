"""`hawqc show`: the resolved spec."""

from __future__ import annotations

import sys

from hawqlang.cli.common import (
    Format,
    FormatOption,
    SetOption,
    SpecArgument,
    TrustOption,
    guarded,
    split_build,
)
from hawqlang.cli.specs import read_spec


@guarded
def show(
    file: SpecArgument,
    set_: SetOption = None,
    trust: TrustOption = False,
    format_: FormatOption = Format.text,
) -> None:
    """Print the resolved spec: every import, default and override written out.

    As JSON it is the object that `hawqc schema` describes; exact numbers are strings such as "1/255".
    """
    path, _ = split_build(file)
    spec = read_spec(path, set_, trust=trust)
    if format_ is Format.json:
        sys.stdout.write(spec.model_dump_json(indent=1) + "\n")
        return
    from hawqlang.ir.printer_spec import print_spec

    sys.stdout.write(print_spec(spec))
