"""OpenTelemetry: who installs an exporter sees every call as a span of FastMCP's, as part of the caller's trace."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import write_notebook
from live import MODERN, request_of
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """A process has one provider, and cannot change it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_a_call_is_a_span_of_the_callers_trace(
    jp_serverapp: Any, jp_fetch: Any, jp_root_dir: Path, exporter: InMemorySpanExporter
) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one")
    trace_id = os.urandom(16).hex()

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        headers, body = request_of("tools/call", {"name": tool, "arguments": arguments}, MODERN)
        body["params"]["_meta"]["traceparent"] = f"00-{trace_id}-{os.urandom(8).hex()}-01"
        headers["Content-Type"] = "application/json"
        answer = await jp_fetch("mcp", method="POST", headers=headers, body=json.dumps(body))
        result: dict[str, Any] = json.loads(answer.body)["result"]
        return result

    exporter.clear()
    assert not (await call("cell_update", path="a.ipynb", index=0, source="two")).get("isError")
    assert (await call("cell_get", path="none.ipynb", index=0))["isError"]
    spans: dict[str, ReadableSpan] = {span.name: span for span in exporter.get_finished_spans()}
    assert {"tools/call cell_update", "tools/call cell_get"} <= set(spans)
    for span in spans.values():
        assert span.context is not None and f"{span.context.trace_id:032x}" == trace_id
    done, failed = spans["tools/call cell_update"], spans["tools/call cell_get"]
    assert done.attributes is not None and done.attributes["fastmcp.server.name"] == "jupyter_mcp"
    assert (done.status.is_ok, failed.status.is_ok) == (True, False)
    # What is in notebooks is nobody's business there.
    assert "two" not in json.dumps([json.loads(span.to_json()) for span in spans.values()])
