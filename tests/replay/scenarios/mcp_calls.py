# SPDX-License-Identifier: Apache-2.0
"""An agent whose tools are those of an MCP server, through the official MCP SDK."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import warnings
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from mcp import types
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    ToolFailure,
    openai_client,
    openai_tools,
    openai_turn,
    tool,
)
from tests.support.llm_answers import Tokens, ToolUse, act, say
from tests.support.llm_server import Script, in_order
from tests.support.mcp_server import depot, serving

MCP_PORT = 8090
JSON_PORT = 8091
SSE_PORT = 8092
TOOLS = [
    tool("mcp__depot__count_stock", "Count a part in the depot.", part="Name of the part"),
    tool("mcp__depot__order_part", "Order a part.", part="Name of the part", amount="How many"),
    tool("note", "Write a note.", text="Text of the note"),
]


def agent_script() -> Script:
    """Two rounds of tools, then the answer."""
    return in_order(
        [
            act(
                ToolUse(
                    id="call_depot1", name="mcp__depot__count_stock", arguments={"part": "chain"}
                ),
                ToolUse(
                    id="call_depot2", name="mcp__depot__count_stock", arguments={"part": "saddle"}
                ),
                ToolUse(id="call_note1", name="note", arguments={"text": "chains counted"}),
                tokens=Tokens(input=90, output=40),
            ),
            act(
                ToolUse(
                    id="call_depot3",
                    name="mcp__depot__order_part",
                    arguments={"part": "saddle", "amount": 2},
                ),
                tokens=Tokens(input=150, output=21),
            ),
            say(
                "Twelve chains are there, two saddles are ordered.",
                tokens=Tokens(input=190, output=14),
            ),
        ]
    )


async def agree(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    """Agree with what the server asks."""
    return types.ElicitResult(action="accept", content={"sure": True})


async def agent(url: str) -> None:
    """One turn of an agent, then calls without one, over all transports."""
    endpoint = f"http://127.0.0.1:{MCP_PORT}/mcp"
    async with Client(endpoint, mode="legacy", elicitation_callback=agree) as client:
        await client.list_tools()
        await client.read_resource("depot://opening-hours")
        await client.get_prompt("polite", {"customer": "Ada"})
        with openai_client(url) as llm:

            def run_tool(name: str, arguments: dict[str, Json]) -> str | ToolFailure:
                if not name.startswith("mcp__depot__"):
                    return "written"
                short = name.removeprefix("mcp__depot__")
                result = anyio.from_thread.run(client.call_tool, short, arguments, None, progress)
                text = "".join(part.text for part in result.content if part.type == "text")
                return ToolFailure(text) if result.is_error else text

            messages: list[Json] = [
                {"role": "user", "content": "How many chains are left? Order two saddles."}
            ]

            def turn() -> str:
                return openai_turn(
                    llm, messages, run_tool, model="gpt-5-mini", tools=openai_tools(TOOLS)
                )

            await anyio.to_thread.run_sync(turn)
        try:
            await client.read_resource("depot://nothing")
        except MCPError:
            pass
        else:
            raise AssertionError("a resource that is not there was read")
    # Without sessions: one exchange tells all.
    async with Client(f"http://127.0.0.1:{JSON_PORT}/mcp") as client:
        await client.call_tool("count_stock", {"part": "brake pad"})
    async with Client(sse_client(f"http://127.0.0.1:{SSE_PORT}/sse"), mode="legacy") as client:
        await client.call_tool("count_stock", {"part": "chain"})
    await anyio.to_thread.run_sync(batch)


async def progress(done: float, total: float | None, message: str | None) -> None:
    """Take a progress notification."""


def batch() -> None:
    """Send a batch, which no SDK does, to the server that answers with JSON."""
    version = {"protocolVersion": "2025-03-26", "capabilities": {}}
    body = [
        {"jsonrpc": "2.0", "id": "a", "method": "ping"},
        {"jsonrpc": "2.0", "id": "b", "method": "tools/list"},
    ]
    for each in (
        {
            "jsonrpc": "2.0",
            "id": 0,
            "method": "initialize",
            "params": {**version, "clientInfo": {"name": "plain", "version": "1"}},
        },
        body,
    ):
        request = urllib.request.Request(
            f"http://127.0.0.1:{JSON_PORT}/mcp",
            data=json.dumps(each).encode(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
            },
        )
        try:
            with urllib.request.urlopen(request) as response:
                response.read()
        except urllib.error.HTTPError as error:  # this SDK takes no batches any more
            error.read()
            error.close()


def drive(url: str) -> None:
    """Serve the depot on three ports and run the agent."""
    with (
        warnings.catch_warnings(),
        serving(depot().streamable_http_app(), MCP_PORT),
        serving(depot().streamable_http_app(json_response=True, stateless_http=True), JSON_PORT),
        serving(depot().sse_app(), SSE_PORT),
    ):
        warnings.simplefilter("ignore")  # the SDK calls its own older parts deprecated
        anyio.run(agent, url)


SCENARIOS = (
    Scenario(
        name="mcp-agent",
        about="An agent runs its tools on an MCP server: streamable HTTP with a session, progress, "
        "a failed tool, a question of the server, a resource and a prompt; then calls outside any "
        "turn: without sessions, over HTTP with SSE, and as a batch, which the server refuses.",
        script=agent_script,
        drive=drive,
        packages=("openai", "mcp"),
    ),
)
