"""jupyfleet's operations as pyinfra-testing's case files have them: called with plain data, answering in plain data.

What an operation tells a host is a whole program on standard input. Here it is what that program says: which function
is called with what, as whom. Nothing of an operation is replaced.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import typing
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from pyinfra.api import StringCommand

import deploy.operations
from deploy.environment.bundle import Bundle
from deploy.environment.releases import Release
from deploy.environment.uv import UvRelease
from deploy.facts.hostscript import HostCommand
from deploy.facts.machine import Machine
from deploy.paths import HostPaths
from deploy.settings import Settings, read_settings
from deploy.tree import Directory, File, Secret, Tree
from jupyfleet_host.distribution import FAMILIES

#: Texts of a spec that are longer, such as locks and programs, are not for a case to repeat.
_LONGEST = 300
_ENTRIES = {"directory": Directory, "file": File, "secret": Secret}


def _machine(data: dict[str, Any]) -> Machine:
    return Machine(**data | {"distribution": FAMILIES.get(data.get("distribution", ""))})


def _release(data: dict[str, Any]) -> UvRelease:
    bundle = Bundle(**data["bundle"]) if "bundle" in data else None
    return UvRelease(**data | {"locks": tuple(data["locks"]), "bundle": bundle})


def _tree(data: Sequence[dict[str, Any]]) -> Tree:
    tree = Tree()
    for entry in data:
        values = {name: value for name, value in entry.items() if name != "kind"}
        for name, make in (("path", PurePosixPath), ("mode", lambda text: int(text, 8)), ("content", str.encode)):
            if name in values:
                values[name] = make(values[name])
        tree.add(_ENTRIES[entry["kind"]](**values))
    return tree


_MAKERS: dict[Any, Any] = {
    HostPaths: lambda data: HostPaths(PurePosixPath(data["home"]), data.get("owner")),
    Machine: _machine,
    PurePosixPath: PurePosixPath,
    Release: _release,
    Sequence[PurePosixPath]: lambda data: [PurePosixPath(path) for path in data],
    Settings: lambda data: read_settings("host", data),
    Tree: _tree,
}


class PlainOperation:
    """An operation as pyinfra-testing runs it, called with what YAML can hold."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation

    def _inner(self, **values: Any) -> Iterator[Any]:
        types = typing.get_type_hints(self._operation._inner)
        for name, value in values.items():
            kind = types[name]
            arguments = [one for one in typing.get_args(kind) if one is not type(None)]
            # An optional one is made as what it is where it is there.
            kind = arguments[0] if type(None) in typing.get_args(kind) else kind
            if value is not None and kind in _MAKERS:
                values[name] = _MAKERS[kind](value)
        for command in self._operation._inner(**values):
            yield _told(command) if isinstance(command, HostCommand) else command


def _told(command: HostCommand) -> StringCommand:
    arguments: dict[str, Any] = dict(command.connector_arguments)
    calls = {
        node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func): node
        for node in ast.walk(ast.parse(arguments["_stdin"]))
        if isinstance(node, ast.Call)
    }
    [as_user, *_], spec = calls["become"].args, calls["run_script"].args[1]
    assert isinstance(spec, ast.Call)
    arguments["_stdin"] = {
        "as": ast.literal_eval(as_user),
        "spec": _without_long_texts(json.loads(ast.literal_eval(spec.args[0]))),
    }
    return StringCommand(*command.bits, **arguments | {"plan": list(command.plan)})


def _without_long_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_long_texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_long_texts(one) for one in value]
    return "a long text" if isinstance(value, str) and len(value) > _LONGEST else value


def operations() -> dict[str, Any]:
    """Every operation of jupyfleet, as ``module.name``."""
    found = {}
    for module in pkgutil.iter_modules(deploy.operations.__path__):
        members = importlib.import_module(f"deploy.operations.{module.name}")
        for name, member in inspect.getmembers(members, lambda one: hasattr(one, "_inner")):
            if member._inner.__module__ == members.__name__:
                found[f"{module.name}.{name}"] = member
    return found


# pyinfra-testing takes an operation from a module, by its name.
globals().update({name.replace(".", "_"): PlainOperation(one) for name, one in operations().items()})
