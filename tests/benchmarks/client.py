"""A real MCP client over HTTP, and what is asked of both servers in the words of each.

`Tools` is what the scenarios know: five things that both servers offer under other names. Every answer is looked
through before its time counts; a wrong one raises WrongAnswerError.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

__all__ = ["Answer", "MCPConnection", "OurTools", "PeerTools", "Tools", "WrongAnswerError"]

_TIMEOUT_SECONDS = 120.0


class WrongAnswerError(Exception):
    """A server answered with an error, or with something else than the truth."""


@dataclass(frozen=True)
class Answer:
    """`seconds` from the call to its answer, as the client sees it."""

    seconds: float
    text: str
    structured: dict[str, Any]


class MCPConnection:
    """One client of one server, in an `async with`."""

    def __init__(self, url: str, token: str) -> None:
        transport = StreamableHttpTransport(url, headers={"Authorization": f"Bearer {token}"})
        self._client: Client[Any] = Client(transport, timeout=_TIMEOUT_SECONDS, cache=False)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def call(self, tool: str, **arguments: Any) -> Answer:
        started = time.perf_counter()
        result = await self._client.call_tool_mcp(tool, arguments)
        seconds = time.perf_counter() - started
        text = "\n".join(getattr(block, "text", "") for block in result.content)
        if result.is_error:
            raise WrongAnswerError(f"{tool}: {text[:500]}")
        return Answer(seconds, text, result.structured_content or {})


class Tools(Protocol):
    """What is measured. `names` says how the server calls it."""

    names: dict[str, str]

    async def use(self, path: str) -> None:
        """Whatever the server wants to be told before a notebook is used."""

    async def read(self, path: str, index: int, source: str) -> float:
        """Read a cell, whose source is known to be `source`; how long it took."""

    async def update(self, path: str, index: int, source: str) -> float:
        """Replace a cell's source."""

    async def insert(self, path: str, index: int, source: str) -> float:
        """Insert a code cell."""

    async def delete(self, path: str, index: int) -> None:
        """Delete a cell; not measured."""

    async def execute(self, path: str, index: int, result: str) -> float:
        """Run a cell whose result is known to be `result`."""

    async def notebooks(self, expected: set[str]) -> float:
        """List all notebooks, of which `expected` are some."""


def _expect(true: bool, tool: str, answer: Answer) -> float:
    if not true:
        raise WrongAnswerError(f"{tool} answered {answer.text[:500]!r}")
    return answer.seconds


class OurTools:
    """files/jupyter_mcp."""

    names = {  # noqa: RUF012
        "read": "cell_get",
        "update": "cell_update",
        "insert": "cell_insert",
        "execute": "cell_execute",
        "list": "notebook_list",
    }

    def __init__(self, connection: MCPConnection) -> None:
        self._connection = connection

    async def use(self, path: str) -> None:
        await self._connection.call("notebook_get", path=path, limit=0)

    async def read(self, path: str, index: int, source: str) -> float:
        answer = await self._connection.call("cell_get", path=path, index=index)
        cell = json.loads(answer.text)
        return _expect(cell["source"] == source and cell["index"] == index, "cell_get", answer)

    async def update(self, path: str, index: int, source: str) -> float:
        answer = await self._connection.call("cell_update", path=path, index=index, source=source)
        return _expect(answer.text == f"Cell {index} updated", "cell_update", answer)

    async def insert(self, path: str, index: int, source: str) -> float:
        answer = await self._connection.call("cell_insert", path=path, index=index, source=source)
        return _expect(answer.text == f"Cell inserted at index {index}", "cell_insert", answer)

    async def delete(self, path: str, index: int) -> None:
        await self._connection.call("cell_delete", path=path, index=index)

    async def execute(self, path: str, index: int, result: str) -> float:
        answer = await self._connection.call("cell_execute", path=path, index=index)
        outputs = json.loads(answer.text)
        right = len(outputs) == 1 and outputs[0]["content"].get("data", {}).get("text/plain") == result
        return _expect(right and answer.structured.get("saved") is True, "cell_execute", answer)

    async def notebooks(self, expected: set[str]) -> float:
        answer = await self._connection.call("notebook_list")
        found = {notebook["path"] for notebook in answer.structured["result"]}
        return _expect(expected <= found, "notebook_list", answer)


class PeerTools:
    """jupyter-mcp-server as a Jupyter extension. Notebooks have names there; ours are called by their path."""

    names = {  # noqa: RUF012
        "read": "read_cell",
        "update": "overwrite_cell_source",
        "insert": "insert_cell",
        "execute": "execute_cell",
        "list": "list_files",
    }

    def __init__(self, connection: MCPConnection) -> None:
        self._connection = connection

    async def use(self, path: str) -> None:
        await self._connection.call("use_notebook", notebook_name=path, notebook_path=path, mode="connect")

    async def read(self, path: str, index: int, source: str) -> float:
        answer = await self._connection.call("read_cell", notebook_name=path, cell_index=index)
        return _expect(source in answer.text, "read_cell", answer)

    async def update(self, path: str, index: int, source: str) -> float:
        answer = await self._connection.call(
            "overwrite_cell_source", notebook_name=path, cell_index=index, cell_source=source
        )
        return _expect(f"Cell {index} overwritten successfully" in answer.text, "overwrite_cell_source", answer)

    async def insert(self, path: str, index: int, source: str) -> float:
        answer = await self._connection.call(
            "insert_cell", notebook_name=path, cell_index=index, cell_type="code", cell_source=source
        )
        return _expect("inserted" in answer.text, "insert_cell", answer)

    async def delete(self, path: str, index: int) -> None:
        await self._connection.call("delete_cell", notebook_name=path, cell_indices=[index], include_source=False)

    async def execute(self, path: str, index: int, result: str) -> float:
        answer = await self._connection.call("execute_cell", notebook_name=path, cell_index=index)
        return _expect(answer.text.strip() == result, "execute_cell", answer)

    async def notebooks(self, expected: set[str]) -> float:
        # Its deepest: three folders down. The notebooks measured are one folder down.
        answer = await self._connection.call("list_files", pattern="**/*.ipynb", max_depth=3, limit=0)
        found = {line.split("\t")[0] for line in answer.text.splitlines()}
        return _expect(expected <= found, "list_files", answer)
