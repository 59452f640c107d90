# SPDX-License-Identifier: Apache-2.0
"""An MCP server of the official SDK: the stock of a made-up bicycle depot."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

STOCK = {"chain": 12, "brake pad": 4}
WAIT_S = 120.0


class Confirmation(BaseModel):
    """What the server asks the user before it orders."""

    sure: bool


def depot() -> MCPServer:
    """Return the server with its tools, resource and prompt."""
    server = MCPServer("depot", log_level="ERROR")

    @server.tool()
    async def count_stock(part: str, ctx: Context) -> str:
        """Count a part in the depot."""
        await ctx.report_progress(1, 2, "looking")
        await ctx.report_progress(2, 2, "counted")
        if part not in STOCK:
            raise ToolError(f"no {part} in the depot")
        return f"{STOCK[part]} of {part}"

    @server.tool()
    async def order_part(part: str, amount: int, ctx: Context) -> str:
        """Order a part, after the user agreed."""
        agreed = await ctx.elicit(f"Order {amount} of {part}?", Confirmation)
        return "ordered" if agreed.action == "accept" else "not ordered"

    @server.resource("depot://opening-hours")
    def opening_hours() -> str:
        """Return when the depot is open."""
        return "Mo-Fr 8-17"

    @server.prompt()
    def polite(customer: str) -> str:
        """Return a letter to a customer."""
        return f"Write a polite letter to {customer}."

    return server


@contextmanager
def serving(app: Any, port: int) -> Iterator[None]:
    """Serve an ASGI application on loopback."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + WAIT_S
    while not server.started:
        assert time.monotonic() < deadline, "the MCP server did not start"
        assert thread.is_alive(), "the MCP server ended"
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive(), "the MCP server did not end"
