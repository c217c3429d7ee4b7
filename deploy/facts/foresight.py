"""Asking a host everything at once: the questions that a deploy's operations begin with, before the first of them runs.

Operations stay as they are: each asks what it wants to know. Here their questions are overheard, sent together, and
the answers kept for them until something on the host is changed. Without this an answer costs a remote command each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pyinfra.api import Host
from pyinfra.context import ctx_host


@dataclass(frozen=True)
class Question:
    """A call of a host script that only looks; `spec` is JSON, so that equal questions are equal.

    It looks as the login user, or as `as_user` by way of root.
    """

    module: str
    function: str
    spec: str
    as_user: str | None = None

    @staticmethod
    def of(module: str, function: str, spec: dict[str, Any], as_user: str | None = None) -> Question:
        return Question(module, function, json.dumps(spec, sort_keys=True), as_user)


class OverheardError(Exception):
    """Ends an operation at its first question, when only the question is wanted."""


@dataclass
class _Memory:
    answers: dict[Question, dict[str, Any]] = field(default_factory=dict)
    listening: bool = False
    heard: list[Question] = field(default_factory=list)


_memories: WeakKeyDictionary[Host, _Memory] = WeakKeyDictionary()


def answer_to(question: Question) -> dict[str, Any] | None:
    """The answer that is known for the current host, if any.

    Raises:
        OverheardError: only the question was wanted.
    """
    memory = _memories.get(ctx_host.get())
    if memory is None:
        return None
    if memory.listening:
        memory.heard.append(question)
        raise OverheardError
    return memory.answers.get(question)


def first_questions(host: Host, operations: Iterable[Iterator[Any]]) -> list[Question]:
    """What operations ask first, each question once; none of them gets any further."""
    memory = _memories[host] = _Memory(listening=True)
    try:
        for operation in operations:
            try:
                next(operation, None)
            except OverheardError:
                continue
    finally:
        memory.listening = False
    return list(dict.fromkeys(memory.heard))


def remember(host: Host, answers: dict[Question, dict[str, Any]]) -> None:
    """Keep answers until the host is changed."""
    _memories[host] = _Memory(answers)


def forget(host: Host) -> None:
    """Something was changed: from here on every question is asked anew."""
    _memories.pop(host, None)
