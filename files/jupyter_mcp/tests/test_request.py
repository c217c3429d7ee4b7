"""When an execution is over: reply and idle in either order, and messages around them."""

from __future__ import annotations

from typing import Any

from jupyter_mcp.connection import Request


def drained(request: Request) -> list[Any]:
    found = []
    while not request.messages.empty():
        found.append(request.messages.get_nowait())
    return found


def test_idle_then_reply() -> None:
    request = Request()
    request.take("stream", {"text": "a"})
    request.take("status", {"execution_state": "busy"})
    request.take("status", {"execution_state": "idle"})
    assert not request.ended
    request.take_reply({"status": "ok"})
    assert request.ended
    assert drained(request) == [("stream", {"text": "a"}), None]


def test_reply_then_outputs_then_idle() -> None:
    request = Request()
    request.take_reply({"status": "ok"})
    request.take("stream", {"text": "a"})
    assert not request.ended
    request.take("status", {"execution_state": "idle"})
    assert drained(request) == [("stream", {"text": "a"}), None]


def test_nothing_follows_the_end() -> None:
    request = Request()
    request.fail("gone")
    request.fail("again")
    request.take_reply({"status": "ok"})
    request.take("status", {"execution_state": "idle"})
    request.take("stream", {"text": "late"})
    assert drained(request) == [None]
    assert request.failure == "gone"


def test_late_messages_go_to_whoever_wants_them() -> None:
    request = Request()
    late: list[str] = []
    request.take_reply({})
    request.take("status", {"execution_state": "idle"})
    request.late = lambda msg_type, content: late.append(content["text"])
    request.take("stream", {"text": "late"})
    assert late == ["late"]
