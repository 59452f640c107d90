# SPDX-License-Identifier: Apache-2.0
"""The real Codex against the scripted server: turns, tools, a sub-agent, a retry.

It runs on a private network with a private home and a key that is none. Its captures hold the
vendor's prompts, so they live in a temporary folder that is removed.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.capture import capture
from tests.support.decoding import spans_of
from tests.support.ground_truth import chat_spans, children, differences, turns
from tests.support.llm_answers import (
    Answer,
    Asked,
    Choice,
    Failure,
    Plain,
    Reply,
    Thinking,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import LlmServer, Script
from tests.support.moments import with_moments
from tests.support.netns import private_network
from tests.support.processes import INSTALL_TIMEOUT_S, RUN_TIMEOUT_S

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

SETUP = Path(__file__).parent / "setup" / "codex.sh"
FIRST = "Print a word."
SECOND = "Print it again."
TASK = "Count the files."
CONFIG = """
model = "gpt-5-codex"
model_provider = "scripted"
[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"
request_max_retries = 2
[features]
multi_agent = true
"""

# The provider that is built in asks over WebSocket first.
BUILT_IN = """
model = "gpt-5-codex"
openai_base_url = "{url}/v1"
"""

Span = dict[str, Any]


@pytest.fixture(scope="module")
def command() -> Path:
    done = subprocess.run(
        [SETUP], stdout=subprocess.PIPE, text=True, timeout=INSTALL_TIMEOUT_S, check=True
    )
    return Path(done.stdout.strip())


def observe(
    command: Path, folder: Path, script: Script, *prompts: list[str], websocket: bool = False
) -> tuple[list[dict[str, Any]], list[Span]]:
    """Run ``codex exec`` once for each of ``prompts``; return the server's log and the spans."""
    home, work = folder / "home", folder / "work"
    (home / ".codex").mkdir(parents=True)
    work.mkdir()
    pcap = folder / "input.pcap"
    with private_network(None):
        server = LlmServer(script, name="codex", port=8080, websockets=websocket)
        config = (BUILT_IN if websocket else CONFIG).format(url=server.url)
        (home / ".codex" / "config.toml").write_text(config, encoding="utf-8")
        environment = {
            "HOME": str(home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
            "TERM": "dumb",
            "SCRIPTED_KEY": "sk-dummy-not-a-key",
            "CODEX_API_KEY": "sk-dummy-not-a-key",
        }
        with capture(pcap), server:
            for prompt in prompts:
                subprocess.run(
                    [
                        command,
                        "exec",
                        "--skip-git-repo-check",
                        "--dangerously-bypass-approvals-and-sandbox",
                        *prompt,
                    ],
                    cwd=work,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=RUN_TIMEOUT_S,
                    check=True,
                )
    return with_moments(server.log, pcap), spans_of("--policy", "full", pcap)


def outputs(asked: Asked) -> int:
    """Return how many tool results the request holds."""
    return sum(item.get("type") == "function_call_output" for item in asked.body["input"])


def facts(turn: Span) -> tuple[Any, ...]:
    """Return agent, status and counts of a turn, and its prompt."""
    attributes = turn["attributes"]
    (prompt,) = json.loads(attributes["gen_ai.input.messages"])
    return (
        attributes["gen_ai.agent.name"],
        attributes["heron.turn.status"],
        *(attributes[f"heron.turn.{name}"] for name in ("calls", "tool_calls", "error_calls")),
        prompt["parts"][0]["content"],
    )


@pytest.mark.case(96)
@pytest.mark.case(98)
@pytest.mark.case(113)
def test_two_prompts_are_two_turns_of_one_session(command: Path, tmp_path: Path) -> None:
    failures = [Failure(status=529, type="overloaded", message="Overloaded")]

    def script(asked: Asked) -> Reply:
        if not asked.path.endswith("/responses"):
            return Plain(status=404, body={})
        done = outputs(asked)
        if done % 2:
            return say(f"Printed {done}.")
        if failures:
            return failures.pop()
        word = ToolUse(
            id=f"call_AbCdEfGh123456{done}", name="exec_command", arguments={"cmd": "echo heron"}
        )
        # After the second prompt the history holds one result of the first.
        is_second = SECOND in json.dumps(asked.body["input"])
        return say("Printed.") if is_second else act(Thinking(text="I print it."), word)

    log, spans = observe(command, tmp_path, script, [FIRST], ["resume", "--last", SECOND])
    assert differences(log, spans) == []
    session = json.loads(log[0]["fields"]["x-codex-turn-metadata"])["session_id"]
    assert {span["attributes"]["gen_ai.conversation.id"] for span in spans} == {session}
    assert [facts(turn) for turn in turns(spans)] == [
        ("codex-cli", "complete", 3, 1, 1, FIRST),
        ("codex-cli", "complete", 1, 0, 0, SECOND),
    ]
    assert {span["attributes"]["gen_ai.agent.version"] for span in turns(spans)} == {"0.169.0"}


@pytest.mark.case(42)
def test_calls_over_websocket_are_the_turns_they_are_over_http(
    command: Path, tmp_path: Path
) -> None:
    def script(asked: Asked) -> Reply:
        if not asked.path.endswith("/responses"):
            return Plain(status=404, body={})
        if asked.body.get("generate") is False:
            return Answer(choices=(Choice(blocks=()),))
        if outputs(asked) or SECOND in json.dumps(asked.body["input"]):
            return say("Printed.")
        word = ToolUse(
            id="call_AbCdEfGh1234567", name="exec_command", arguments={"cmd": "echo heron"}
        )
        return act(Thinking(text="I print it."), word)

    prompts = [FIRST], ["resume", "--last", SECOND]
    log, spans = observe(command, tmp_path, script, *prompts, websocket=True)
    assert {(entry["method"], entry["status"]) for entry in log if entry["wire_api"]} == {
        ("GET", 101)
    }
    # What the client asks on one connection builds on what it asked there before.
    previous = [entry["request"].get("previous_response_id") for entry in log]
    assert previous[:3] == [None, log[0]["response_id"], log[1]["response_id"]]
    assert differences(log, spans) == []
    assert [facts(turn) for turn in turns(spans)] == [
        ("codex-cli", "complete", 2, 1, 0, FIRST),
        ("codex-cli", "complete", 1, 0, 0, SECOND),
    ]
    assert {turn["attributes"]["heron.turn.auxiliary_calls"] for turn in turns(spans)} == {1}
    assert len({span["attributes"]["gen_ai.conversation.id"] for span in spans}) == 1


@pytest.mark.case(97)
def test_subagent_is_nested_under_the_tool_run_that_spawned_it(
    command: Path, tmp_path: Path
) -> None:
    def script(asked: Asked) -> Reply:
        if not asked.path.endswith("/responses"):
            return Plain(status=404, body={})
        if "x-openai-subagent" in asked.fields:
            return say("There are 42.")
        space = "multi_agent_v1"
        match outputs(asked):
            case 0:
                task = {"message": TASK, "agent_type": "explorer"}
                spawn = "call_spawn1234567890"
                return act(ToolUse(id=spawn, name="spawn_agent", namespace=space, arguments=task))
            case 1:
                agent = json.loads(asked.body["input"][-1]["output"])["agent_id"]
                wait = {"targets": [agent], "timeout_ms": 30_000}
                name = "call_wait12345678901"
                return act(ToolUse(id=name, name="wait_agent", namespace=space, arguments=wait))
            case _:
                return say("The helper counted 42.")

    log, spans = observe(command, tmp_path, script, [FIRST])
    assert differences(log, spans) == []
    (turn,) = turns(spans)
    assert facts(turn) == ("codex-cli", "complete", 4, 2, 0, FIRST)
    (spawn,) = [span for span in spans if span["name"] == "execute_tool spawn_agent"]
    (nested,) = children(spans, spawn)
    assert nested["name"] == "invoke_agent explorer"
    assert [span["name"] for span in children(spans, nested)] == ["chat gpt-5-codex"]
    assert len(chat_spans(spans)) == 4
