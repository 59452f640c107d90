# SPDX-License-Identifier: Apache-2.0
"""Real agents with an MCP server over Streamable HTTP: its ``tools/call`` is the tool run.

They run on a private network with private homes and keys that are none. Their captures hold the
prompts of their authors, so they live in temporary folders that are removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import claude_code
from tests.support.agent_plan import FIRST, planned
from tests.support.client_settings import (
    COPILOT,
    OPENCODE,
    OPENCODE_CONFIG,
    OPENCODE_FILE,
    install_copilot,
    install_opencode,
)
from tests.support.ground_truth import children, differences, turns
from tests.support.llm_answers import ToolUse, act, say
from tests.support.mcp_server import depot, serving
from tests.support.npm_clients import PORT, observe

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

MCP_PORT = 8090
MCP_URL = f"http://127.0.0.1:{MCP_PORT}/mcp"
TIMES = ("start_time_unix_nano", "end_time_unix_nano")


@dataclass(frozen=True, kw_only=True)
class Client:
    """One agent with the server of the depot in its configuration."""

    name: str
    install: Callable[[], Path]
    ask: Callable[[Path], Sequence[str | Path]]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    tool: str  # what it calls the tool of the server


WITH_CLAUDE_CODE = Client(
    name="claude-cli",
    install=claude_code.install,
    ask=lambda command: [command, "-p", FIRST, "--allowedTools", "mcp__depot__count_stock"],
    environment={
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{PORT}",
        "ANTHROPIC_API_KEY": claude_code.KEY,
        **claude_code.QUIET,
    },
    files={".claude.json": json.dumps({"mcpServers": {"depot": {"type": "http", "url": MCP_URL}}})},
    tool="mcp__depot__count_stock",
)
WITH_OPENCODE = Client(
    name="opencode",
    install=install_opencode,
    ask=lambda command: [command, "run", FIRST],
    environment=OPENCODE,
    files={
        OPENCODE_FILE: json.dumps(
            {**OPENCODE_CONFIG, "mcp": {"depot": {"type": "remote", "url": MCP_URL}}}
        )
    },
    tool="depot_count_stock",
)
WITH_COPILOT = Client(
    name="copilot-cli",
    install=install_copilot,
    ask=lambda command: [command, "--allow-all-tools", "-p", FIRST],
    environment=COPILOT,
    files={
        ".copilot/mcp-config.json": json.dumps(
            {"mcpServers": {"depot": {"type": "http", "url": MCP_URL, "tools": ["*"]}}}
        )
    },
    tool="depot-count_stock",
)


@pytest.mark.parametrize(
    "client", [WITH_CLAUDE_CODE, WITH_OPENCODE, WITH_COPILOT], ids=lambda client: client.name
)
def test_tool_call_of_the_server_is_the_tool_run_of_the_turn(
    client: Client, tmp_path: Path
) -> None:
    counts = [
        ToolUse(id="toolu01Chain", name=client.tool, arguments={"part": "chain"}),
        ToolUse(id="toolu02Saddle", name=client.tool, arguments={"part": "saddle"}),
    ]
    plan = {FIRST: [act(*counts), say("Twelve chains, no saddle.")]}
    log, spans = observe(
        tmp_path,
        planned(plan),
        client.ask(client.install()),
        environment=client.environment,
        files=client.files,
        beside=serving(depot().streamable_http_app(), MCP_PORT),
    )
    assert differences(log, spans) == []
    (turn,) = turns(spans)
    assert turn["attributes"]["gen_ai.agent.name"] == client.name
    assert turn["attributes"]["heron.turn.tool_calls"] == 2
    runs = [span for span in children(spans, turn) if span["name"].startswith("execute_tool ")]
    assert [span["name"] for span in runs] == [f"execute_tool {client.tool}"] * 2
    found = {}
    for run in runs:
        (call,) = children(spans, run)
        assert call["name"] == "tools/call count_stock"
        assert [call[name] for name in TIMES] == [run[name] for name in TIMES]
        assert run["attributes"]["heron.tool.timing"] == "observed"
        assert call["attributes"]["heron.mcp.server_name"] == "depot"
        failed = [span["attributes"].get("error.type") == "tool_error" for span in (run, call)]
        found[run["attributes"]["gen_ai.tool.call.id"]] = failed
    assert found == {"toolu01Chain": [False, False], "toolu02Saddle": [True, True]}
    assert sum(span["name"].startswith("tools/call") for span in spans) == 2
