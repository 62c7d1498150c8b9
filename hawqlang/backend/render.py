"""The one Jinja environment: an unknown field is an error, and so is a float."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hawqlang.resources import data_dir


def refuse_float(value: object) -> object:
    """Return ``value`` as it is printed into generated text.

    Raises:
        TypeError: it is a float; generated code is made of integers alone.
    """
    if isinstance(value, float):
        raise TypeError(f"a template printed the float {value!r}")
    return value


@cache
def environment() -> Environment:
    """Return the environment that renders every template under ``templates/``."""
    return Environment(
        loader=FileSystemLoader(data_dir("templates")),
        undefined=StrictUndefined,
        finalize=refuse_float,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the output is source code, not HTML
    )


def render(template: str, **context: object) -> str:
    """Return the text of ``template`` (a path below ``templates/``) with ``context`` filled in."""
    return environment().get_template(template).render(**context)
