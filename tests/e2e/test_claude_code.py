# SPDX-License-Identifier: Apache-2.0
"""The real Claude Code against the scripted server: turns, tools, sub-agents, retries.

It runs on a private network with a private home and a key that is none. Its captures hold the
vendor's prompts, so they live in a temporary folder that is removed.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.agent_plan import Plan, planned
from tests.support.capture import capture
from tests.support.claude_code import ClaudeCode, install
from tests.support.decoding import spans_of
from tests.support.ground_truth import chat_spans, children, differences, turns
from tests.support.llm_answers import Failure, StreamFailure, Text, ToolUse, act, say
from tests.support.llm_server import LlmServer, delivered
from tests.support.moments import with_moments
from tests.support.netns import private_network
from tests.support.processes import RUN_TIMEOUT_S

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

NOTES = "wind 7 m/s\nrain 3 mm\n"
LOOP = "Read notes.txt and count its lines."
SECOND = "Is it windy?"
DELEGATE = "Let a helper find the highest wind."
TASK = "Report the highest wind in the notes as a number."
FAULTS = "Sum up the rain."

Span = dict[str, Any]


@dataclass(frozen=True)
class Observed:
    """What the server saw and what decode made of the capture."""

    log: list[dict[str, Any]]
    spans: list[Span]
    said: list[str]

    @property
    def session(self) -> str:
        """Return the session id of the first call."""
        fields = next(entry["fields"] for entry in self.log if entry["method"] == "POST")
        return str(fields["X-Claude-Code-Session-Id"])


@pytest.fixture(scope="module")
def command() -> Path:
    return install()


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="heron-claude-") as name:
        path = Path(name)
        (path / "home").mkdir()
        (path / "work").mkdir()
        (path / "work" / "notes.txt").write_text(NOTES, encoding="utf-8")
        yield path


Drive = Callable[[ClaudeCode, LlmServer], list[str]]


def observe(command: Path, folder: Path, plan: Plan, drive: Drive) -> Observed:
    """Run ``drive`` on a private network and return what was seen."""
    path = folder / "claude.pcap"
    with private_network(), capture(path), LlmServer(planned(plan)) as server:
        claude = ClaudeCode(
            command=command, home=folder / "home", work=folder / "work", url=server.url
        )
        claude.trust()
        said = drive(claude, server)
    observed = Observed(with_moments(server.log, path), spans_of("--policy", "full", path), said)
    assert differences(observed.log, observed.spans) == []
    return observed


def loop_plan(folder: Path) -> Plan:
    notes = str(folder / "work" / "notes.txt")
    return {
        LOOP: [
            act(
                Text(text="I read it and count."),
                ToolUse(id="toolu_01Read", name="Read", arguments={"file_path": notes}),
                ToolUse(
                    id="toolu_01Count",
                    name="Bash",
                    arguments={"command": "wc -l notes.txt", "description": "Count lines"},
                ),
            ),
            say("Two lines."),
        ],
        SECOND: [say("Yes, 7 m/s.")],
    }


def names(spans: list[Span]) -> list[str]:
    return [span["name"].partition(" claude-")[0] for span in spans]


def attribute(span: Span, name: str) -> Any:
    return span["attributes"].get(name)


def first_message(span: Span, name: str) -> str:
    (message,) = json.loads(attribute(span, name))
    return str(message["parts"][0]["content"])


@pytest.mark.case(86)
@pytest.mark.case(114)
def test_a_tool_loop_is_one_turn(command: Path, folder: Path) -> None:
    observed = observe(command, folder, loop_plan(folder), lambda claude, _: [claude.ask(LOOP)])
    assert observed.said == ["Two lines.\n"]
    (turn,) = turns(observed.spans)
    assert turn["name"] == "invoke_agent claude-cli"
    assert attribute(turn, "heron.turn.status") == "complete"
    assert attribute(turn, "heron.turn.calls") == 2
    assert attribute(turn, "heron.turn.tool_calls") == 2
    assert attribute(turn, "heron.session.id") == observed.session
    assert first_message(turn, "gen_ai.input.messages") == LOOP
    assert first_message(turn, "gen_ai.output.messages") == "Two lines."
    below = children(observed.spans, turn)
    assert sorted(names(below)) == ["chat", "chat", "execute_tool Bash", "execute_tool Read"]
    results = {
        attribute(span, "gen_ai.tool.call.id"): attribute(span, "gen_ai.tool.call.result")
        for span in below
        if span["name"].startswith("execute_tool")
    }
    assert "wind 7 m/s" in results["toolu_01Read"]
    assert "2 notes.txt" in results["toolu_01Count"]


def test_a_continued_conversation_is_one_session_of_two_turns(command: Path, folder: Path) -> None:
    observed = observe(
        command,
        folder,
        loop_plan(folder),
        lambda claude, _: [claude.ask(LOOP), claude.ask(SECOND, "--continue")],
    )
    first, second = turns(observed.spans)
    assert {attribute(turn, "heron.session.id") for turn in (first, second)} == {observed.session}
    assert first_message(second, "gen_ai.input.messages") == SECOND
    assert first_message(second, "gen_ai.output.messages") == "Yes, 7 m/s."
    assert attribute(second, "heron.turn.calls") == 1
    (link,) = second["links"]
    assert (link["trace_id"], link["span_id"]) == (first["trace_id"], first["span_id"])


@pytest.mark.case(95)
def test_a_subagent_is_nested_under_the_tool_run_that_spawned_it(
    command: Path, folder: Path
) -> None:
    plan: Plan = {
        DELEGATE: [
            act(
                ToolUse(
                    id="toolu_01Agent",
                    name="Agent",
                    arguments={
                        "description": "Find wind",
                        "prompt": TASK,
                        "subagent_type": "general-purpose",
                    },
                )
            ),
            say("I wait for the helper."),
            say("The highest wind is 7 m/s."),
        ],
        TASK: [
            act(
                ToolUse(
                    id="toolu_01Look",
                    name="Bash",
                    arguments={"command": "cat notes.txt", "description": "Look"},
                )
            ),
            say("7 m/s is the highest."),
        ],
    }
    observed = observe(command, folder, plan, lambda claude, _: [claude.ask(DELEGATE)])
    (turn,) = turns(observed.spans)
    assert first_message(turn, "gen_ai.input.messages") == DELEGATE
    assert first_message(turn, "gen_ai.output.messages") == "The highest wind is 7 m/s."
    assert attribute(turn, "heron.turn.calls") == 5
    below = children(observed.spans, turn)
    assert sorted(names(below)) == ["chat", "chat", "chat", "execute_tool Agent"]
    spawned = next(span for span in below if span["name"] == "execute_tool Agent")
    (nested,) = children(observed.spans, spawned)
    assert attribute(nested, "gen_ai.operation.name") == "invoke_agent"
    agent_id = next(
        entry["fields"]["x-claude-code-agent-id"]
        for entry in observed.log
        if "x-claude-code-agent-id" in entry["fields"]
    )
    assert attribute(nested, "heron.subagent.id") == agent_id
    work = children(observed.spans, nested)
    assert sorted(names(work)) == ["chat", "chat", "execute_tool Bash"]
    roles = [attribute(span, "heron.call.role") for span in work if names([span]) == ["chat"]]
    assert roles == ["subagent", "subagent"]


@pytest.mark.case(113)
def test_retries_stay_in_the_turn_and_are_counted(command: Path, folder: Path) -> None:
    plan: Plan = {
        FAULTS: [
            [
                Failure(status=429, type="rate_limit_error", message="Slowly", retry_after_s=1),
                Failure(status=529, type="overloaded_error", message="Overloaded"),
                StreamFailure(
                    answer=say("There were three"),
                    after=4,
                    type="overloaded_error",
                    message="Overloaded",
                ),
                say("3 mm."),
            ]
        ]
    }
    observed = observe(command, folder, plan, lambda claude, _: [claude.ask(FAULTS)])
    (turn,) = turns(observed.spans)
    assert attribute(turn, "heron.turn.status") == "complete"
    assert attribute(turn, "heron.turn.calls") == 4
    assert attribute(turn, "heron.turn.error_calls") == 3
    calls = chat_spans(observed.spans)
    assert [attribute(span, "error.type") for span in calls] == [
        "rate_limit_error",
        "overloaded_error",
        "overloaded_error",
        None,
    ]
    for attempt, again in pairwise(calls):
        (link,) = again["links"]
        assert link["span_id"] == attempt["span_id"]
        assert link["attributes"] == {"heron.link.type": "retry_of"}


@pytest.mark.case(92)
def test_the_title_call_of_the_terminal_is_auxiliary(command: Path, folder: Path) -> None:
    def drive(claude: ClaudeCode, server: LlmServer) -> list[str]:
        with claude.terminal(SECOND):
            server.wait_for(_all_answered, RUN_TIMEOUT_S)
        return []

    observed = observe(command, folder, loop_plan(folder), drive)
    assert "HEAD" in {entry["method"] for entry in observed.log}
    (turn,) = turns(observed.spans)
    assert attribute(turn, "heron.turn.calls") == 1
    assert attribute(turn, "heron.turn.auxiliary_calls") == 1
    assert first_message(turn, "gen_ai.input.messages") == SECOND
    roles = {
        attribute(span, "heron.call.role"): attribute(span, "heron.call.auxiliary_kind")
        for span in children(observed.spans, turn)
    }
    assert roles == {"main": None, "auxiliary": "title"}


def test_an_interrupted_prompt_is_a_cancelled_turn(command: Path, folder: Path) -> None:
    answer = say("The wind blows from the west and it will go on for three days.")
    plan: Plan = {SECOND: [delivered(answer, cut="hang", cut_after=9)]}

    def drive(claude: ClaudeCode, server: LlmServer) -> list[str]:
        with claude.running(SECOND) as process:
            server.wait_for(lambda log: any(_is_hanging(entry) for entry in log), RUN_TIMEOUT_S)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=RUN_TIMEOUT_S)
        return []

    observed = observe(command, folder, plan, drive)
    (turn,) = turns(observed.spans)
    assert attribute(turn, "heron.turn.status") == "cancelled"
    assert first_message(turn, "gen_ai.input.messages") == SECOND
    assert first_message(turn, "gen_ai.output.messages").startswith("The wind blows")


def test_a_forked_session_is_a_session_of_its_own(command: Path, folder: Path) -> None:
    observed = observe(
        command,
        folder,
        loop_plan(folder),
        lambda claude, _: [claude.ask(LOOP), claude.ask(SECOND, "--continue", "--fork-session")],
    )
    first, second = turns(observed.spans)
    assert attribute(first, "heron.session.id") != attribute(second, "heron.session.id")
    assert attribute(second, "heron.turn.calls") == 1
    assert first_message(second, "gen_ai.input.messages") == SECOND


def _is_hanging(entry: dict[str, Any]) -> bool:
    return bool(entry.get("hanging"))


def _all_answered(log: list[dict[str, Any]]) -> bool:
    """The probe, the title and the answer: none waits for the others."""
    answered = [entry for entry in log if entry.get("outcome")]
    probed = any(entry["method"] == "HEAD" for entry in answered)
    return probed and sum(entry["wire_api"] is not None for entry in answered) == 2
