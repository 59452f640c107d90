# SPDX-License-Identifier: Apache-2.0
"""What the built-in descriptions of single agents say, seen from calls of the real clients."""

from __future__ import annotations

from typing import Any

from heron_otel.agents.registry import PROFILES
from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, AgentFacts, CallRole
from heron_otel.records.wire import LlmCall
from tests.support.agent_calls import asks, assistant, call, results, tool_use, user
from tests.support.turns import Turns, run

KILO = {"user-agent": "Kilo-Code/7.7.7 ai-sdk/provider-utils/4.0.27", "x-session-id": "ses_main"}
COPILOT_SYSTEM: dict[str, Any] = {
    "system_texts": ["You are the GitHub Copilot CLI, a terminal assistant ..."]
}


def facts(of: LlmCall) -> AgentFacts:
    (record,) = AgentCalls(PROFILES).feed(of)
    assert isinstance(record, AgentCall)
    return record.facts


def test_summaries_of_pi_are_its_own_though_openclaw_asks_in_the_same_words() -> None:
    pi = {"headers": {"user-agent": "pi/1.6.0 (linux; node/v24.21.0; x64)"}}
    asked: dict[str, Any] = {
        "offered": None,
        "system_texts": ["You are a context summarization assistant. Read ..."],
        "text": "x",
    }
    found = [facts(call([user("...")], **asked, **more)) for more in (pi, {})]
    assert [each.agent_name for each in found] == ["pi", "openclaw"]
    assert [each.auxiliary_kind for each in found] == ["compaction", "compaction"]


def test_sub_agent_of_kilo_code_is_in_the_session_above_and_its_title_beside() -> None:
    child = {**KILO, "x-session-id": "ses_child", "x-parent-session-id": "ses_main"}
    found = facts(call([user("count the files")], headers=child))
    assert (found.session_id, found.subagent_id) == ("ses_main", "ses_child")
    assert (found.role, found.agent_version) == (CallRole.SUBAGENT, "7.7.7")
    titles = ["You are a title generator. You output ONLY a thread title."]
    title = call([user("x")], headers=KILO, offered=None, system_texts=titles)
    assert (facts(title).auxiliary_kind, facts(title).session_id) == ("title", "ses_main")


def test_copilot_cli_puts_the_time_before_prompts_and_reports_in_user_messages() -> None:
    now = "<current_datetime>2026-11-28T11:24:31.360+00:00</current_datetime>\n\n"
    prompt, report = (
        user(f"{now}fix it"),
        user("<system_notification>\nidle\n</system_notification>"),
    )
    first = facts(call([prompt], **COPILOT_SYSTEM))
    assert (first.user_start, first.user_text) == (True, "fix it")
    later = facts(call([prompt, assistant("A helper counts."), report], **COPILOT_SYSTEM))
    assert (later.user_start, later.role) == (False, CallRole.MAIN)
    asked = user("Please create a detailed summary of the conversation so far. The history ...")
    summary = facts(call([prompt, assistant("Done."), asked], **COPILOT_SYSTEM))
    assert (summary.role, summary.auxiliary_kind) == (CallRole.AUXILIARY, "compaction")


def test_context_that_openclaw_puts_last_hides_no_prompt_and_is_none() -> None:
    begin, end = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>", "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>"
    context = user(f"{begin}\n## Active Subagents\nnone\n{end}")
    prompt = user("print a word")
    asked = tool_use("callAbCdEfGh12345678", "exec", command="echo heron")
    told = results(("callAbCdEfGh12345678", "heron"))
    more: dict[str, Any] = {"offered": ("exec", "openclaw", "sessions_yield")}
    calls = [
        call([prompt, context], 0, tools=[asks("call_AbCdEfGh12345678", "exec")], **more),
        call([prompt, assistant(asked), told, context], 1, text="Printed.", **more),
        call([prompt, assistant("Printed."), user("again"), context], 2, text="Again.", **more),
    ]
    found = [facts(each) for each in calls]
    assert [each.user_start for each in found] == [True, False, True]
    assert [each.user_text for each in found] == ["print a word", None, "again"]
    turns = run(calls).turns
    assert [(turn.calls, turn.tool_calls, turn.status) for turn in turns] == [
        (2, 1, "complete"),
        (1, 0, "complete"),
    ]


def test_report_of_openclaw_on_a_sub_agent_is_no_prompt_and_ends_it() -> None:
    child = "f57a5772-24d7-48ff-8163-e07c8fe0962e"
    spawned = {"id": "sessions_spawn", "args": {"task": "count the files here", "label": "count"}}
    launched = [
        user("count"),
        assistant(tool_use("callAbCdEfGh12345678", "tool_call", **spawned)),
        results(("callAbCdEfGh12345678", f'"status": "accepted", "agent:main:subagent:{child}"')),
    ]
    report = user(
        "[Sat 2026-11-28 12:22 UTC] A background task completed. Use this result to reply ...\n\n"
        f"source: subagent\nsession_key: agent:main:subagent:{child}\nstatus: completed"
    )
    envelope = user("[Sat 2026-11-28 12:22 UTC] [Subagent Task]\n\ncount the files here\n\nBegin.")
    more: dict[str, Any] = {"offered": ("exec", "openclaw", "sessions_yield")}
    asked = [asks("call_AbCdEfGh12345678", "tool_call", **spawned)]
    told = call([*launched, assistant("A helper counts."), report], 5, text="Seven.", **more)
    calls = [
        call([user("count")], 0, 1, tools=asked, **more),
        call(launched, 1.1, 1.5, text="A helper counts.", **more),
        call([envelope], 1.2, 4.0, text="7 files", **more),
        told,
    ]
    assert (facts(told).user_start, facts(told).user_text) == (False, None)
    out = Turns().feed(*sorted(calls, key=lambda each: each.timing.ended_at_ns)).advance(20)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.answer_text) == ("complete", 4, "Seven.")
    assert [agent.name for agent in out.subagents] == ["count"]
