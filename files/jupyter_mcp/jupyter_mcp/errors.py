"""The errors that reach an agent: one sentence that says what is wrong and what to do next.

Nothing here knows of MCP; :mod:`jupyter_mcp.registry` turns every :class:`NotebookError` into a tool error.
"""

from __future__ import annotations

__all__ = [
    "CellNotFound",
    "CellRefused",
    "ChangedOnDisk",
    "CollaborationMissing",
    "ExecutionNotFound",
    "KernelDead",
    "KernelFailed",
    "NotebookError",
    "NotebookNotFound",
    "NotebookUnreadable",
    "PathRefused",
    "PermissionRefused",
    "SaveFailed",
]


class NotebookError(Exception):
    """Base of every error whose text is meant for the agent."""


class PathRefused(NotebookError):
    """The path does not name a notebook inside the workspace."""


class NotebookNotFound(NotebookError):
    """There is no such notebook (any more)."""


class NotebookUnreadable(NotebookError):
    """The file exists and is not a notebook that Jupyter can read."""


class CellNotFound(NotebookError):
    """No cell at that index, or with that id."""


class CellRefused(NotebookError):
    """The cell is not what the caller expects, or an argument makes no sense for it."""


class SaveFailed(NotebookError):
    """The edit is in the live document and is not proven to be on disk."""


class ChangedOnDisk(NotebookError):
    """Another program wrote the file since this server last read or saved it."""


class KernelFailed(NotebookError):
    """The kernel could not be started, died, or was restarted."""


class KernelDead(KernelFailed):
    """The kernel's process is gone, and nobody has started another one in time: its variables are lost."""


class ExecutionNotFound(NotebookError):
    """The execution id is unknown, or its record has been dropped."""


class PermissionRefused(NotebookError):
    """The server's authorizer does not allow this user to do this."""


class CollaborationMissing(NotebookError):
    """jupyter-collaboration is not running in this server."""
