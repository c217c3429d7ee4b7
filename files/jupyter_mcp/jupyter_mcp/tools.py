"""The tools: names, descriptions, schemas, and how answers are written. The work is done by :mod:`jupyter_mcp.service`.

This module imports FastMCP, which takes seconds; only :mod:`jupyter_mcp.gateway` imports it, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from fastmcp import Context, FastMCP
from fastmcp.tools import ToolResult
from pydantic import Field

from . import __version__, caller, cells, schemas
from .answers import IMAGE_BYTES, image_blocks, json_text, listing, render_execution, render_notebook, render_page, text
from .execution import Execution
from .outputs import fit
from .protocol import serve_only_tools
from .registry import Registry
from .service import Service

__all__ = ["TOOLS", "build_server"]

INSTRUCTIONS = """\
Notebooks of this Jupyter server, shared live with people in JupyterLab and with other agents.
Paths are relative to the workspace ('folder/name.ipynb'). Cells are addressed by index (0 is the first, -1 the last)
or, safer when others edit too, by cell_id. An edit that answers is saved on disk. Pass expected_source_hash, which
cell_get gives, to edit a cell only if nobody has changed it meanwhile. Long runs: cell_execute answers with an
execution_id after its timeout while the cell runs on; execution_get fetches the rest. Large notebooks: pass brief, or
start and limit, to notebook_get."""

DEFAULT_TIMEOUT = 50.0
OUTPUT_BYTES = 20_000
_PROGRESS_SECONDS = 1.0

Path = Annotated[
    str, Field(description="Path of the notebook, relative to the workspace, for example 'folder/name.ipynb'.")
]
Index = Annotated[
    int | None, Field(description="Position of the cell; 0 is the first, -1 the last. May be left out with cell_id.")
]
CellId = Annotated[
    str | None, Field(description="Id of the cell. It stays the same when cells are moved, so it wins over the index.")
]
ExpectedHash = Annotated[
    str | None,
    Field(
        description="source_hash that cell_get gave. If the source has changed since, nothing is done and the current "
        "source is shown."
    ),
]
OutputBytes = Annotated[
    int, Field(ge=0, le=10_000_000, description="Bytes of output text to return at most; head and tail are kept.")
]

# In the order in which tools/list shows them.
TOOLS = (
    "notebook_list",
    "notebook_create",
    "notebook_get",
    "notebook_watch",
    "notebook_list_users",
    "cell_get",
    "cell_update",
    "cell_insert",
    "cell_delete",
    "cell_move",
    "cell_execute",
    "execution_get",
    "kernel_interrupt",
    "kernel_restart",
    "room_list",
)


async def _wait(ctx: Context, execution: Execution, timeout: float) -> None:
    """Wait for the end of an execution, telling the client about progress about once a second."""
    started = time.monotonic()
    deadline = started + timeout
    while execution.running:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return
        try:
            await asyncio.wait_for(execution.done.wait(), min(remaining, _PROGRESS_SECONDS))
        except TimeoutError:
            elapsed = time.monotonic() - started
            await ctx.report_progress(
                elapsed, None, f"{execution.status} for {elapsed:.0f} s, {len(execution.outputs)} outputs"
            )


def build_server(service: Service) -> FastMCP[Any]:
    """A FastMCP server whose tools work on `service`. Every tool asks the server's authorizer first."""
    server: FastMCP[Any] = FastMCP("jupyter_mcp", instructions=INSTRUCTIONS, version=__version__)
    registry = Registry(server)
    for add in (_add_notebooks, _add_cells, _add_executions, _add_kernels_and_rooms):
        add(registry, service)
    assert tuple(registry.schemas) == TOOLS
    serve_only_tools(server, registry.schemas)
    return server


def _add_notebooks(registry: Registry, service: Service) -> None:
    @registry.tool(caller.READ, "List notebooks", schemas.NOTEBOOKS, read_only=True)
    async def notebook_list() -> ToolResult:
        """List every notebook of the workspace as {path, name}, sorted by path."""
        return listing(await service.notebook_list())

    @registry.tool(caller.WRITE, "Create a notebook", schemas.NOTEBOOK)
    async def notebook_create(path: Path) -> dict[str, str]:
        """Create an empty notebook; missing folders are made. Never overwrites: a name that is taken is refused."""
        return await service.notebook_create(path)

    @registry.tool(caller.READ, "Read a notebook", schemas.DOCUMENT, read_only=True)
    async def notebook_get(
        path: Path,
        start: Annotated[int, Field(ge=0, description="First cell to return.")] = 0,
        limit: Annotated[int | None, Field(ge=0, description="How many cells to return; all if left out.")] = None,
        brief: Annotated[
            bool, Field(description="Shorten every source to its first lines and every output to its kind.")
        ] = False,
        output_bytes: OutputBytes = OUTPUT_BYTES,
    ) -> dict[str, Any]:
        """Return the live notebook as nbformat JSON, with what others have typed and not saved yet.

        Long outputs are cut (head and tail stay), images are named and not included: cell_get returns those of a cell.
        metadata.jupyter_mcp tells how many cells there are, which of them these are, and the version to watch from.
        """
        notebook = await service.notebook(path)
        return render_notebook(notebook.document, notebook.mirror, start, limit, brief, output_bytes)

    @registry.tool(caller.READ, "Wait for a change", schemas.WATCH, read_only=True)
    async def notebook_watch(
        path: Path,
        timeout: Annotated[float, Field(ge=0, le=3600, description="Seconds to wait.")] = 30,
        since: Annotated[
            int | None, Field(description="Version that an earlier answer gave: a change since then answers at once.")
        ] = None,
    ) -> dict[str, Any]:
        """Wait until somebody changes the notebook: {"changed": true, "cell_count": N}, or {"changed": false}."""
        return await service.notebook_watch(path, timeout, since)

    @registry.tool(caller.READ, "List users of a notebook", schemas.USERS, read_only=True)
    async def notebook_list_users(path: Path) -> ToolResult:
        """List who has the notebook open now, people and agents, as {id, name}."""
        return listing(await service.notebook_users(path))


def _add_cells(registry: Registry, service: Service) -> None:
    @registry.tool(caller.READ, "Read a cell", schemas.CELL, read_only=True)
    async def cell_get(
        path: Path, index: Index = None, cell_id: CellId = None, output_bytes: OutputBytes = OUTPUT_BYTES
    ) -> ToolResult:
        """Return one cell with its outputs, its index and its source_hash. Images come as image content."""
        position, cell = await service.cell_get(path, index, cell_id)
        shown = fit(cell.get("outputs", []), output_bytes, IMAGE_BYTES)
        answer = {**cell, "index": position, "source_hash": cells.source_hash(cell["source"])}
        if cell["cell_type"] == "code":
            answer["outputs"] = shown.outputs
        return ToolResult(content=[json_text(answer), *image_blocks(shown.images)], structured_content=answer)

    @registry.tool(caller.WRITE, "Edit a cell", schemas.EDITED, destructive=True, idempotent=True)
    async def cell_update(
        path: Path,
        index: Index = None,
        *,
        source: Annotated[str, Field(description="The whole new source of the cell.")],
        cell_type: Annotated[
            Literal["code", "markdown", "raw"] | None, Field(description="A new type; the cell keeps its id.")
        ] = None,
        cell_id: CellId = None,
        expected_source_hash: ExpectedHash = None,
    ) -> ToolResult:
        """Replace a cell's source in place (and its type, if given). Answers when the edit is saved on disk."""
        position, changed = await service.cell_update(path, index, source, cell_type, cell_id, expected_source_hash)
        return text(f"Cell {position} updated", index=position, cell_id=changed, source_hash=cells.source_hash(source))

    @registry.tool(caller.WRITE, "Insert a cell", schemas.EDITED)
    async def cell_insert(
        path: Path,
        index: Annotated[
            int, Field(description="Where the new cell goes: 0 is the top, -1 or the cell count the end.")
        ],
        source: Annotated[str, Field(description="The source of the new cell.")],
        cell_type: Annotated[
            Literal["code", "markdown", "raw"], Field(description="The type of the new cell.")
        ] = "code",
    ) -> ToolResult:
        """Insert a new cell. Answers when it is saved on disk. Not to be repeated after an error without looking."""
        position, cell_id = await service.cell_insert(path, index, source, cell_type)
        return text(
            f"Cell inserted at index {position}",
            index=position,
            cell_id=cell_id,
            source_hash=cells.source_hash(source),
        )

    @registry.tool(caller.WRITE, "Delete a cell", schemas.EDITED, destructive=True)
    async def cell_delete(
        path: Path, index: Index = None, cell_id: CellId = None, expected_source_hash: ExpectedHash = None
    ) -> ToolResult:
        """Delete a cell. Answers when that is saved on disk."""
        position, deleted = await service.cell_delete(path, index, cell_id, expected_source_hash)
        return text(f"Cell {position} deleted", index=position, cell_id=deleted)

    @registry.tool(caller.WRITE, "Move a cell", schemas.EDITED)
    async def cell_move(
        path: Path,
        index: Index = None,
        *,
        to: Annotated[int, Field(description="Index that the cell has afterwards; -1 is the last.")],
        cell_id: CellId = None,
        expected_source_hash: ExpectedHash = None,
    ) -> ToolResult:
        """Move a cell to another position; it keeps its id and outputs. Answers when that is saved on disk."""
        position, target, moved = await service.cell_move(path, index, to, cell_id, expected_source_hash)
        return text(f"Cell {position} moved to index {target}", index=target, cell_id=moved)


def _add_executions(registry: Registry, service: Service) -> None:
    @registry.tool(caller.EXECUTE, "Run a cell", schemas.EXECUTED, destructive=True, open_world=True)
    async def cell_execute(
        path: Path,
        ctx: Context,
        index: Index = None,
        cell_id: CellId = None,
        expected_source_hash: ExpectedHash = None,
        timeout: Annotated[
            float, Field(ge=0, le=86400, description="Seconds to wait for the end; then see on_timeout.")
        ] = DEFAULT_TIMEOUT,
        on_timeout: Annotated[
            Literal["continue", "interrupt"],
            Field(description="continue: answer with the execution_id while the cell runs on. interrupt: stop it."),
        ] = "continue",
        output_bytes: OutputBytes = OUTPUT_BYTES,
    ) -> ToolResult:
        """Run a code cell in the notebook's kernel and return its outputs as [{type, content}].

        The kernel is shared with the browser and is started when there is none. Runs of one notebook queue in order.
        Outputs are written to the cell as they come, and are on disk when the answer says saved. When the timeout
        passes, the answer ends with a 'status' entry that carries the execution_id for execution_get.
        """
        _, execution = await service.cell_execute(path, index, cell_id, expected_source_hash)
        await _wait(ctx, execution, timeout)
        if execution.running and on_timeout == "interrupt":
            await service.executions.stop(execution, f"Interrupted after {timeout:g} seconds, as asked.")
            await _wait(ctx, execution, 10.0)
        return render_execution(execution, output_bytes, waited=timeout)

    @registry.tool(caller.READ, "Fetch an execution", schemas.EXECUTED, read_only=True)
    async def execution_get(
        execution_id: Annotated[str, Field(description="The id that cell_execute gave.")],
        ctx: Context,
        timeout: Annotated[
            float, Field(ge=0, le=3600, description="Seconds to wait for the end; 0 answers at once.")
        ] = 0,
        output_bytes: OutputBytes = OUTPUT_BYTES,
        offset: Annotated[
            int | None,
            Field(ge=0, description="Return the complete output text from this byte on, output_bytes at a time."),
        ] = None,
    ) -> ToolResult:
        """Return the state and outputs of an execution that cell_execute started, finished or not."""
        execution = service.executions.get(execution_id)
        if timeout:
            await _wait(ctx, execution, timeout)
        if offset is not None:
            return render_page(execution, offset, output_bytes)
        return render_execution(execution, output_bytes, waited=None)


def _add_kernels_and_rooms(registry: Registry, service: Service) -> None:
    @registry.tool(caller.KERNEL, "Interrupt the kernel", schemas.TEXT, destructive=True)
    async def kernel_interrupt(path: Path) -> ToolResult:
        """Interrupt what the notebook's kernel runs now. Variables stay; queued cells run next."""
        await service.kernel_interrupt(path)
        return text("Kernel interrupted")

    @registry.tool(caller.KERNEL, "Restart the kernel", schemas.TEXT, destructive=True)
    async def kernel_restart(path: Path) -> ToolResult:
        """Restart the notebook's kernel. All variables are lost, for everybody; what runs or is queued fails."""
        await service.kernel_restart(path)
        return text("Kernel restarted")

    @registry.tool(caller.READ, "List open notebooks", schemas.ROOMS, read_only=True)
    async def room_list() -> ToolResult:
        """List the notebooks that are open now, with who is in them and whether a kernel runs."""
        return listing(await service.room_list())
