"""A small MCP client for the one endpoint: stateless when it can be, within a session when the server wants one."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

from jupyfleet_host import probe_web
from jupyfleet_host.probe_common import CheckError, Probe, parse_json
from jupyfleet_host.probe_token import read_token
from jupyfleet_host.probe_user import service_user
from jupyfleet_host.probe_web import MOST_BYTES, NOT_YET, REFUSALS, SERVED_WITH_ANOTHER, Answer

#: The last revision that knows `ping`.
REVISION = "2025-11-25"
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": REVISION,
}

Message = dict[str, Any]


class McpError(CheckError):
    """The MCP server is there and answers a request with an error."""


class Mcp:
    """One conversation; as a context manager it gives its session back, so that nothing of the probe stays."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._path = probe.url("mcp")
        self._token = read_token(probe.token_file, service_user(probe.user).uid)
        self._session: str | None = None
        self._is_initialized = False
        self._number = 0

    def __enter__(self) -> Mcp:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            with contextlib.suppress(CheckError), self._send("DELETE"):
                pass

    def call(self, method: str, params: Message | None = None) -> Message:
        """One request's result; what a server refuses is asked once more after an initialization."""
        try:
            return self._request(method, params)
        except McpError:
            if self._is_initialized:
                raise
        self._is_initialized = True
        client = {"name": "jupyfleet-verify", "version": "1"}
        self._request("initialize", {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client})
        with self._send("POST", {"method": "notifications/initialized"}):
            pass
        return self._request(method, params)

    def _request(self, method: str, params: Message | None) -> Message:
        self._number += 1
        request = {"id": self._number, "method": method} | ({} if params is None else {"params": params})
        with self._send("POST", request) as response:
            message = self._answer(f"POST {self._path} ({method})", response)
            self._session = response.headers.get("Mcp-Session-Id", self._session)
        if isinstance(error := message.get("error"), dict):
            raise McpError(f"{method} was answered with the error {error.get('code')} {error.get('message')}")
        if not isinstance(result := message.get("result"), dict):
            raise McpError(f"{method} was answered without a result")
        return result

    def _send(self, verb: str, message: Message | None = None) -> contextlib.AbstractContextManager[Any]:
        headers = HEADERS | ({"Mcp-Session-Id": self._session} if self._session else {})
        body = None if message is None else json.dumps({"jsonrpc": "2.0", **message}).encode()
        return probe_web.stream(self._probe, verb, self._path, token=self._token, headers=headers, body=body)

    def _answer(self, what: str, response: http.client.HTTPResponse) -> Message:
        """The message that answers the last request, as JSON or out of an event stream."""
        if response.status != 200:
            raise self._refusal(what, Answer(response.status, response.headers, response.read(MOST_BYTES)))
        kind = response.headers.get_content_type()
        for message in _messages(response, kind, probe_web.patience(self._probe)):
            if not isinstance(message, dict):
                continue
            # An error that came about before the request was understood has no number.
            if message.get("id") == self._number or ("error" in message and message.get("id") is None):
                return message
        raise CheckError(f"{what} answered 200 ({kind}) without a JSON-RPC message that belongs to it")

    def _refusal(self, what: str, answer: Answer) -> CheckError:
        if answer.status in REFUSALS and self._token is not None:
            return CheckError(f"{what} with the token answered {answer.shown()}: {SERVED_WITH_ANOTHER}")
        if answer.status == 404:
            todo = "the MCP extension is not installed or not enabled, run jupyfleet up"
            return CheckError(f"{what} answered 404: {todo}")
        text = f"{what} answered {answer.shown()}: see {self._probe.log}"
        # 400 is how a server asks for a session.
        return McpError(text) if answer.status == 400 else CheckError(text, passing=answer.status in NOT_YET)


def _messages(response: http.client.HTTPResponse, kind: str, seconds: float) -> Iterator[Any]:
    """The JSON messages of an answer; an event stream's until it ends or `seconds` are over."""
    if kind != "text/event-stream":
        yield parse_json(response.read(MOST_BYTES))
        return
    end = time.monotonic() + seconds
    data: list[str] = []
    while time.monotonic() < end and (line := response.readline(MOST_BYTES)):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))
        elif not text and data:
            yield parse_json("\n".join(data))
            data = []
