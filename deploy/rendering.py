"""Templates: the files of ``templates/``, with the values that a host gives them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from platformdirs import user_cache_path

from deploy.paths import TEMPLATES


class _Compiled(jinja2.FileSystemBytecodeCache):
    """Templates as Python's bytecode, kept as Python keeps that of modules: to make it takes a run 50 ms.

    Where it cannot be kept, it is made in every run.
    """

    def __init__(self) -> None:
        directory = user_cache_path("jupyfleet") / "templates"
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(str(directory))

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    bytecode_cache=_Compiled(),
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
