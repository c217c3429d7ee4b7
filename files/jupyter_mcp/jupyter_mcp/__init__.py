"""An MCP server inside Jupyter Server, for agents that share live notebooks with people.

Importing this package stays cheap: FastMCP is imported by :mod:`jupyter_mcp.gateway` only after the
server answers, so that the start of JupyterLab does not wait for it.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    from .extension import JupyterMCP

    return [{"module": "jupyter_mcp", "app": JupyterMCP}]
