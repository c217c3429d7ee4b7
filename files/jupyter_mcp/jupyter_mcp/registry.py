"""How a function becomes a tool: who may call it, what it says of itself, and how its errors reach the agent."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools import Tool
from mcp.types import ToolAnnotations

from . import caller
from .errors import NotebookError

__all__ = ["Registry"]

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


class Registry:
    """Adds tools to a FastMCP server. `schemas`: the input schema of every tool that was added, by its name."""

    def __init__(self, server: FastMCP[Any]) -> None:
        self._server = server
        self.schemas: dict[str, dict[str, Any]] = {}

    def tool(
        self,
        permissions: tuple[caller.Permission, ...],
        title: str,
        output: dict[str, Any],
        *,
        read_only: bool = False,
        destructive: bool = False,
        idempotent: bool = False,
        open_world: bool = False,
    ) -> Callable[[F], F]:
        """A decorator. The function's name, docstring and parameters are the tool's; `output` is its output schema.

        Every call asks the server's authorizer for `permissions` first.
        """

        def register(function: F) -> F:
            @functools.wraps(function)
            async def checked(*args: Any, **kwargs: Any) -> Any:
                await caller.require(permissions)
                return await function(*args, **kwargs)

            annotations = ToolAnnotations(
                title=title,
                read_only_hint=read_only,
                destructive_hint=destructive,
                idempotent_hint=idempotent or read_only,
                open_world_hint=open_world,
            )
            made = Tool.from_function(_told(checked), title=title, annotations=annotations, output_schema=output)
            self.schemas[made.name] = self._server.add_tool(made).parameters
            return function

        return register


def _told(function: F) -> F:
    """Turn our errors into tool errors with the same text, and anything else into one without internals."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except NotebookError as error:
            # Said to the agent; nothing for the server's log.
            raise ToolError(str(error), log_level=logging.DEBUG) from error
        except ToolError:
            raise
        except Exception as error:
            log.exception("jupyter_mcp: %s", function.__name__)
            raise ToolError(
                f"Internal error in {function.__name__} ({type(error).__name__}). The server's log has the details; "
                "look at the notebook before you try again."
            ) from error

    return wrapper  # type: ignore[return-value]
