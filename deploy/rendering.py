"""Templates: the files of ``templates/``, with the values that a host gives them."""

from __future__ import annotations

import json
from typing import Any

import jinja2

from deploy.paths import TEMPLATES

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    autoescape=False,  # noqa: S701 - no page is rendered; values go through `python`, `tojson` and `toml`.
)
_TEMPLATES.filters["python"] = repr
#: JSON's strings and lists of strings are TOML's, and jinja's own filter would write < and > as escapes.
_TEMPLATES.filters["toml"] = lambda value: json.dumps(value, ensure_ascii=False)


def render(template: str, **values: Any) -> str:
    """A file of `templates/`; a value that it names and does not get is an error."""
    return _TEMPLATES.get_template(template).render(**values)
