"""The programs that are sent to hosts, run as a host runs them: by a Python that has nothing of ours on its path."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.facts import hostscript
from deploy.facts.hostscript import source
from deploy.paths import FILES

FOLDER = FILES / hostscript.PACKAGE


def entries() -> list[tuple[str, str]]:
    """Every public function that takes a spec, with its module."""
    return [
        (file.stem, node.name)
        for file in sorted(FOLDER.glob("*.py"))
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if [argument.arg for argument in node.args.args] == ["spec"]
    ]


def start(program: str) -> subprocess.Popen[str]:
    """A host's Python, isolated, reading a program."""
    pipe = subprocess.PIPE
    # Tests that run in the background ignore SIGINT, and what they start does too; a host's Python does not.
    ignored = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-", "jupyfleet:test"],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            cwd="/",
            env={},
        )
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert process.stdin is not None
    process.stdin.write(program)
    process.stdin.close()
    process.stdin = None
    return process


def run(module: str, function: str, spec: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
    """Exit code, answer and standard error of one function."""
    process = start(source(module, function, spec))
    out, err = process.communicate(timeout=60)
    return process.returncode, json.loads(out), err


def sent(module: str) -> list[str]:
    """The modules that travel with a module, in order."""
    names = [name for name, _ in hostscript._texts((module,))]
    assert names[0] == hostscript.PACKAGE
    return [name.removeprefix(f"{hostscript.PACKAGE}.") for name in names[1:]]


def test_there_are_functions_to_ask() -> None:
    assert {("probe", "main"), ("service", "ensure"), ("tree", "apply")} <= set(entries())


@pytest.mark.parametrize("module", sorted({module for module, _ in entries()}))
def test_every_module_loads_with_what_is_sent(module: str) -> None:
    # `Spec`, which each of them imports for its signatures, is a function that hands back what it gets.
    assert run(module, "Spec", {"a": 1}) == (0, {"result": {"a": 1}}, "")


def test_only_what_is_needed_is_sent() -> None:
    assert sent("tree") == ["common", "identity", "tree"]
    assert sent("common") == ["common", "identity"]
    assert set(sent("service")) == {"common", "identity", "processes", "supervisor_rpc", "releases", "service"}
    assert not {"environment", "package_index", "tree"} & set(sent("probe"))


MODULES = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem != "__init__")


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_found_as_python_finds_them(module: str) -> None:
    text = (FOLDER / f"{module}.py").read_text()
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module]
    wanted = [alias.name for node in nodes if node.module == hostscript.PACKAGE for alias in node.names]
    wanted += [
        parts[1] for node in nodes if (parts := str(node.module).split("."))[0] == hostscript.PACKAGE and parts[1:]
    ]
    assert sorted(hostscript._imports(text)) == sorted(wanted)


def test_imports_over_several_lines_and_under_other_names_are_found() -> None:
    text = "from jupyfleet_host import (\n    a,\n    b as c,\n)\nfrom jupyfleet_host.d import e as f\nimport json\n"
    assert hostscript._imports(text) == ["a", "b", "d"]


@pytest.mark.parametrize("module", MODULES)
def test_imports_come_first_and_nothing_comes_twice(module: str) -> None:
    order = sent(module)
    assert len(set(order)) == len(order)
    for place, name in enumerate(order):
        assert set(hostscript._imports((FOLDER / f"{name}.py").read_text())) <= set(order[:place])


@pytest.mark.parametrize(
    "value",
    [
        'it\'s "quoted" \'\'\'thrice\'\'\' """too"""',
        "two\nlines\r\nand\ta tab\0and nothing",
        "{braces} {{twice}} {0} {spec!r} %s %(x)s ${HOME} `id`",
        "back\\slash \\n \\u0041 \\",
        "Grüße, 你好 🦊 \u2028 \u202e",
        ["", None, True, 1.5, {"{": "}"}],
    ],
)
def test_values_arrive_unharmed(value: object) -> None:
    assert run("tree", "Spec", {"value": value, str(value): 0}) == (0, {"result": {"value": value, str(value): 0}}, "")


def test_a_reason_is_an_answer() -> None:
    spec = {"home": "/nowhere/home", "workspace": "/nowhere/workspace", "paths": ["/nowhere/else\nwith {braces}"]}
    code, answer, said = run("removal", "remove", spec)
    assert code == 1
    assert list(answer) == ["failure"]
    assert "/nowhere/else\nwith {braces} is not jupyfleet's to remove" in answer["failure"]
    assert said.splitlines()[0] == "jupyfleet-failure: /nowhere/else"
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("module", "function", "spec", "reason"),
    [
        ("tree", "compare", {}, "unexpected KeyError in tree.compare: 'entries'"),
        ("tree", "there_is_none", {}, "unexpected ImportError in tree.there_is_none: cannot import"),
    ],
)
def test_what_nobody_foresaw_is_told(module: str, function: str, spec: dict[str, Any], reason: str) -> None:
    code, answer, said = run(module, function, spec)
    assert code == 1
    assert answer["failure"].startswith(reason)
    assert "Traceback" in said
    assert f"jupyfleet-failure: {reason}" in said


def test_an_interrupt_is_quiet(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "jupyter-lab"
    program.parent.mkdir()
    begun = tmp_path / "begun"
    program.write_text(f"#!/bin/sh\necho $$ > {begun}.new && mv {begun}.new {begun}\nexec sleep 30\n")
    program.chmod(0o755)
    texts = (
        "home",
        "log",
        "workspace",
        "workspace_mount",
        "workspace_tag",
        "supervisor_socket",
        "program",
        "host",
        "profile",
    )
    none = ("user", "token_file", "spacy_model")
    spec: dict[str, Any] = dict.fromkeys(texts, "core") | dict.fromkeys(none)
    spec |= {"environment": str(tmp_path), "port": 1, "scheme": "http", "base_url": "/", "scope": "build"}
    spec |= {"tools": [], "forbidden_tools": [], "timeout": 1}
    process = start(source("probe", "main", spec))
    give_up = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < give_up:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        subprocess.run(["kill", begun.read_text().strip()], check=False)
    assert (process.returncode, out, err) == (130, "", "")
