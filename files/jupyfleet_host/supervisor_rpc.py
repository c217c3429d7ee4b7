"""supervisord's own interface on its unix socket, which is how its user alone reaches it.

It speaks just as much HTTP and XML-RPC as that takes. The standard library's modules for them read those for mail and
TLS, too, and with them a look at a host takes 89 ms of its processor instead of 67.
"""

from __future__ import annotations

import functools
import socket
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_MOST_BYTES = 16 * 1024 * 1024


class RefusedError(Exception):
    """supervisord refuses a call: its reason, and a number of its own (supervisor.xmlrpc.Faults) or HTTP's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RpcError(Exception):
    """What answers is no supervisord, or broke off."""


class Supervisor:
    """supervisord's methods, each call over a connection of its own: ``Supervisor(path).getState()``.

    A call raises OSError when nobody answers within `timeout` seconds, `RpcError` and `RefusedError`.
    """

    def __init__(self, path: str, timeout: float = 60) -> None:
        self._path = path
        self._timeout = timeout

    def __getattr__(self, method: str) -> Any:
        return functools.partial(self._call, method)

    def _call(self, method: str, *parameters: str | bool | int) -> Any:
        body = _request(f"supervisor.{method}", parameters)
        head = f"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout)
            connection.connect(self._path)
            connection.sendall(head.encode() + body)
            with connection.makefile("rb") as stream:
                # With HTTP 1.0 the end of the answer is the end of the connection.
                answer = stream.read(_MOST_BYTES)
        status = answer.partition(b"\r\n")[0].decode("utf-8", "replace")
        version, _, status = status.partition(" ")
        if not version.startswith("HTTP/"):
            raise RpcError(f"it answers {version[:80]!r}, which is no HTTP")
        if not status.startswith("200"):
            raise RefusedError(int(status[:3]) if status[:3].isdecimal() else 0, status)
        return _result(answer.partition(b"\r\n\r\n")[2])


def _request(method: str, parameters: tuple[str | bool | int, ...]) -> bytes:
    call = Element("methodCall")
    ElementTree.SubElement(call, "methodName").text = method
    listed = ElementTree.SubElement(call, "params")
    for parameter in parameters:
        kind = {bool: "boolean", int: "int", str: "string"}[type(parameter)]
        value = ElementTree.SubElement(ElementTree.SubElement(listed, "param"), "value")
        ElementTree.SubElement(value, kind).text = str(int(parameter) if kind == "boolean" else parameter)
    return bytes(ElementTree.tostring(call, encoding="utf-8"))


def _result(answer: bytes) -> Any:
    """What an answer holds.

    Raises:
        RefusedError: a refusal.
        RpcError: it is none, or not whole.
    """
    try:
        found = ElementTree.fromstring(answer)  # noqa: S314 - who may write to this socket is root or the user itself.
        if (fault := found.find("fault/value")) is not None:
            said = _value(fault)
            raise RefusedError(int(said["faultCode"]), str(said["faultString"]))
        return _value(found.find("params/param/value"))
    except (ElementTree.ParseError, LookupError, TypeError, ValueError) as error:
        raise RpcError(f"its answer is no XML-RPC: {error}") from error


def _value(element: Element | None) -> Any:
    """A value of the kinds that supervisord has; without a kind it is a text."""
    if element is None:
        raise ValueError("a value is missing")
    kind = next(iter(element), None)
    if kind is None:
        return element.text or ""
    match kind.tag:
        case "string":
            return kind.text or ""
        case "int" | "i4":
            return int(kind.text or "")
        case "boolean":
            return kind.text == "1"
        case "array":
            return [_value(value) for value in kind.iterfind("data/value")]
        case "struct":
            return {member.findtext("name"): _value(member.find("value")) for member in kind.iterfind("member")}
    raise ValueError(f"it has a value of kind {kind.tag}")
