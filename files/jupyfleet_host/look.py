"""Many questions in one go: what a deploy wants to know of a host before it changes anything."""

from __future__ import annotations

import importlib
from typing import Any

from jupyfleet_host.common import Result, Spec, answer_of
from jupyfleet_host.identity import call_as


def answer(spec: Spec) -> Result:
    """Answer every question by itself: ``{"answers": [{"result": …} | {"failure": reason}, …]}``, in their order.

    The spec has `questions`, each ``[module, function, spec, as_user]``. What nobody foresaw in one is its failure, and
    harms none of the others.
    """
    return {"answers": [_answer(*question) for question in spec["questions"]]}


def _answer(module: str, function: str, spec: dict[str, Any], as_user: str | None) -> dict[str, Any]:
    try:
        asked = getattr(importlib.import_module(f"jupyfleet_host.{module}"), function)
        if as_user in (None, "root"):
            return answer_of(asked, spec)
        return answer_of(lambda spec: call_as(as_user, asked, spec, only_looks=True), spec)
    except Exception as error:
        return {"failure": f"unexpected {type(error).__name__} in {module}.{function}: {error}"}
