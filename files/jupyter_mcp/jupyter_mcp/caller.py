"""Who makes the current tool call, carried from the HTTP handler to the tool.

A tool that finds no caller refuses: should the context ever get lost on its way through the layers between, calls
fail, and are not let through unchecked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from .errors import PermissionRefused

__all__ = ["Caller", "current_caller", "require"]

Permission = tuple[str, str]


@dataclass(frozen=True)
class Caller:
    """An authenticated user of the server. `allowed(action, resource)` asks the server's authorizer.

    `agent` is the name under which people see it in a notebook.
    """

    agent: str
    allowed: Callable[[str, str], Awaitable[bool]]


current_caller: ContextVar[Caller | None] = ContextVar("jupyter_mcp_caller", default=None)

# What a tool does, in the words of Jupyter's authorizer: (action, resource).
READ: tuple[Permission, ...] = (("read", "contents"),)
WRITE: tuple[Permission, ...] = (("read", "contents"), ("write", "contents"))
EXECUTE: tuple[Permission, ...] = (("read", "contents"), ("write", "contents"), ("execute", "kernels"))
KERNEL: tuple[Permission, ...] = (("read", "contents"), ("execute", "kernels"))


async def require(permissions: tuple[Permission, ...]) -> Caller:
    """The current caller, if the authorizer lets them do all of this; PermissionRefused otherwise."""
    caller = current_caller.get()
    if caller is None:
        raise PermissionRefused("The call carries no user of this server, so it is refused.")
    for action, resource in permissions:
        if not await caller.allowed(action, resource):
            raise PermissionRefused(
                f"This server does not allow you to {action} {resource}. Ask its administrator for that permission."
            )
    return caller
