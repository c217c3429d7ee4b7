"""Jupyter Server with jupyter_mcp, in which the tools are the ones that the conformance suite wants to call.

Everything between the socket and the tools is the deployed thing: the handler with its access rules, the bridge to
ASGI, the gateway with FastMCP's applications, and the versions of a release. Run by that release's Python:

    python fixture_server.py ROOT_DIRECTORY PORT          (with JUPYTER_TOKEN_FILE)
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import sys
from collections.abc import Mapping
from typing import Any

import mcp_types
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.prompts import Message, PromptResult
from fastmcp.tools import Tool, ToolResult
from jupyter_mcp.asgi import ASGIApp
from jupyter_mcp.gateway import Gateway
from jupyter_server.serverapp import ServerApp
from mcp.shared.exceptions import MCPError

from jupyter_mcp import extension, tools

DESCRIPTION = "For the conformance suite."
#: One red pixel, and a wave file without a sample.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
#: Our own server answers with a stream when cell_execute is asked for progress; of these tools it is these.
STREAMED = (
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_logging_tool",
    "test_streaming_elicitation",
    "test_sampling",
    "test_elicitation",
)

#: What scenario json-schema-2020-12 wants to find unchanged in tools/list.
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

Asked = mcp_types.InputRequiredResult


class SchemaTool(Tool):
    """A tool whose schema is given and not made from a function."""

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        return ToolResult(content=[text("ok")])


def text(words: str) -> mcp_types.TextContent:
    return mcp_types.TextContent(type="text", text=words)


def image() -> mcp_types.ImageContent:
    return mcp_types.ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri: str, mime_type: str, words: str) -> mcp_types.EmbeddedResource:
    contents = mcp_types.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return mcp_types.EmbeddedResource(type="resource", resource=contents)


def content_tools(server: FastMCP[Any]) -> None:
    tool = functools.partial(server.tool, description=DESCRIPTION, output_schema=None)

    @tool()
    def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @tool()
    def test_image_content() -> ToolResult:
        return ToolResult(content=[image()])

    @tool()
    def test_audio_content() -> ToolResult:
        return ToolResult(content=[mcp_types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")])

    @tool()
    def test_embedded_resource() -> ToolResult:
        words = "This is an embedded resource content."
        return ToolResult(content=[embedded("test://embedded-resource", "text/plain", words)])

    @tool()
    def test_multiple_content_types() -> ToolResult:
        data = json.dumps({"test": "data", "value": 123})
        resource = embedded("test://mixed-content-resource", "application/json", data)
        return ToolResult(content=[text("Multiple content types test:"), image(), resource])

    @tool()
    def test_error_handling() -> str:
        raise ToolError("This tool intentionally returns an error for testing")

    @tool()
    async def test_tool_with_logging(ctx: Context) -> str:
        for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(words)
            await asyncio.sleep(0.05)
        return "Logged."

    @tool()
    async def test_logging_tool(ctx: Context) -> str:
        await ctx.info("Logged for whoever asked for it.")
        return "Logged."

    @tool()
    async def test_tool_with_progress(ctx: Context) -> str:
        for progress in (0, 50, 100):
            await ctx.report_progress(progress, 100)
            await asyncio.sleep(0.05)
        return "Done."

    server.add_tool(SchemaTool(name="json_schema_2020_12_tool", description=DESCRIPTION, parameters=SCHEMA))
    region = {"type": "string", "x-mcp-header": "Region"}
    parameters = {"type": "object", "properties": {"region": region}, "required": ["region"]}
    server.add_tool(SchemaTool(name="test_x_mcp_header", description=DESCRIPTION, parameters=parameters))


def resources_and_prompts(server: FastMCP[Any]) -> None:
    prompt = functools.partial(server.prompt, description=DESCRIPTION)

    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        return "Watched."

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002 - the scenario names it
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @prompt()
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> PromptResult:  # noqa: N803 - and this one
        resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return PromptResult([Message(resource), Message("Please process the embedded resource above.")])

    @prompt()
    def test_prompt_with_image() -> PromptResult:
        return PromptResult([Message(image()), Message("Please analyze the image above.")])

    @server.completion
    def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        return [word for word in ("paris", "park", "party") if word.startswith(argument.value)]


def form(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }


def elicit(message: str, **properties: str) -> mcp_types.ElicitRequest:
    schema = form(**properties)
    return mcp_types.ElicitRequest(params=mcp_types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str, tokens: int) -> mcp_types.CreateMessageRequest:
    message = mcp_types.SamplingMessage(role="user", content=text(words))
    return mcp_types.CreateMessageRequest(
        params=mcp_types.CreateMessageRequestParams(messages=[message], max_tokens=tokens)
    )


def answers(ctx: Context) -> Mapping[str, Any]:
    return ctx.input_responses or {}


def tools_that_ask_at_once(server: FastMCP[Any]) -> None:
    """Revision 2025-11-25: a tool asks the client while it runs, which takes a session to send the question on."""
    tool = functools.partial(server.tool, description=DESCRIPTION, output_schema=None)

    @tool()
    async def test_sampling(prompt: str, ctx: Context) -> str:
        message = mcp_types.SamplingMessage(role="user", content=text(prompt))
        answer = await ctx.session.create_message(messages=[message], max_tokens=100)
        return f"LLM response: {answer.content}"

    async def asked(ctx: Context, message: str, schema: dict[str, Any]) -> str:
        answer = await ctx.session.elicit_form(message, schema)
        return f"User response: action={answer.action}, content={answer.content}"

    @tool()
    async def test_elicitation(message: str, ctx: Context) -> str:
        return await asked(ctx, message, form(username="string", email="string"))

    @tool()
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        schema = {"type": "object", "properties": {"name": {"type": "string", "default": "John Doe"}}}
        return await asked(ctx, "Defaults", schema)

    @tool()
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        schema = {"type": "object", "properties": {"choice": {"type": "string", "enum": ["option1", "option2"]}}}
        return await asked(ctx, "Choices", schema)


def tools_that_ask(server: FastMCP[Any]) -> None:
    """Revision 2026-07-28: a tool that needs something of its user says so in its result, and is called again."""
    tool = functools.partial(server.tool, description=DESCRIPTION, output_schema=None)
    prompt = functools.partial(server.prompt, description=DESCRIPTION)

    @tool()
    def test_input_required_result_elicitation(ctx: Context) -> Any:
        answer = answers(ctx).get("user_name")
        name = (getattr(answer, "content", None) or {}).get("name")
        if name is None:
            return Asked(input_requests={"user_name": elicit("What is your name?", name="string")})
        return f"Hello, {name}!"

    @tool()
    def test_input_required_result_sampling(ctx: Context) -> Any:
        answer = answers(ctx).get("capital_question")
        if answer is None:
            return Asked(input_requests={"capital_question": sample("What is the capital of France?", 100)})
        return f"It is {answer.content.text}"

    @tool()
    def test_input_required_result_list_roots(ctx: Context) -> Any:
        answer = answers(ctx).get("client_roots")
        if answer is None:
            return Asked(input_requests={"client_roots": mcp_types.ListRootsRequest()})
        return " ".join(str(root.uri) for root in answer.roots)

    def confirmed(ctx: Context) -> Any:
        if "confirm" not in answers(ctx) or ctx.request_state != "asked":
            return Asked(input_requests={"confirm": elicit("Please confirm", ok="boolean")}, request_state="asked")
        return "state-ok"

    @tool()
    def test_input_required_result_request_state(ctx: Context) -> Any:
        return confirmed(ctx)

    @tool()
    def test_input_required_result_tampered_state(ctx: Context) -> Any:
        return confirmed(ctx)

    @tool()
    def test_input_required_result_multiple_inputs(ctx: Context) -> Any:
        asked = {
            "user_name": elicit("What is your name?", name="string"),
            "greeting": sample("Generate a greeting", 50),
            "client_roots": mcp_types.ListRootsRequest(),
        }
        if set(asked) <= set(answers(ctx)) and ctx.request_state == "asked":
            return "All are answered."
        return Asked(input_requests=asked, request_state="asked")

    @tool()
    def test_input_required_result_multi_round(ctx: Context) -> Any:
        if ctx.request_state == "second" and "step2" in answers(ctx):
            return "Done."
        if ctx.request_state == "first" and "step1" in answers(ctx):
            step = {"step2": elicit("Step 2: What is your favorite color?", color="string")}
            return Asked(input_requests=step, request_state="second")
        step = {"step1": elicit("Step 1: What is your name?", name="string")}
        return Asked(input_requests=step, request_state="first")

    @tool()
    def test_input_required_result_capabilities(ctx: Context) -> Any:
        declared = ctx.session.client_capabilities
        possible = {"elicitation": elicit("What is your name?", name="string"), "sampling": sample("Hello", 50)}
        return Asked(
            input_requests={name: ask for name, ask in possible.items() if getattr(declared, name, None) is not None}
        )

    @prompt()
    def test_input_required_result_prompt(ctx: Context) -> Any:
        answer = answers(ctx).get("user_context")
        if answer is None:
            return Asked(
                input_requests={"user_context": elicit("What context should the prompt use?", context="string")}
            )
        return f"In the context of {answer.content['context']}"

    @tool()
    def test_streaming_elicitation(ctx: Context) -> Any:
        return Asked(input_requests={"user_name": elicit("What is your name?", name="string")})

    @tool()
    def test_missing_capability(ctx: Context) -> str:
        raise MCPError(
            code=mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs sampling.",
            data={"requiredCapabilities": {"sampling": {}}},
        )


def build_server(_service: Any) -> FastMCP[Any]:
    # FastMCP would put definitions in the place of references, and a scenario wants a schema back unchanged.
    server: FastMCP[Any] = FastMCP("conformance fixtures", version="1", dereference_schemas=False)
    content_tools(server)
    resources_and_prompts(server)
    tools_that_ask_at_once(server)
    tools_that_ask(server)
    return server


class FixtureGateway(Gateway):
    """Streams the answers of other tools than ours."""

    async def application(self, body: bytes) -> ASGIApp:
        named = any(f'"{tool}"'.encode() in body for tool in STREAMED)
        # What our own gateway recognises a call by that wants a stream.
        return await super().application(body + b'"progressToken""cell_execute"' if named else body)


def main(root: str, port: str) -> None:
    tools.build_server = build_server
    extension.Gateway = FixtureGateway
    ServerApp.launch_instance(
        [
            "--allow-root",
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={root}",
            "--ServerApp.allow_unauthenticated_access=False",
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
