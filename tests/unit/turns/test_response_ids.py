# SPDX-License-Identifier: Apache-2.0
"""Conversations that the server keeps: each request names the response before it."""

from __future__ import annotations

import msgspec

from heron_otel.records.wire import LlmCall
from heron_otel.turns import TurnLimits
from tests.support.agent_calls import SECOND, START
from tests.support.calls import call_of
from tests.support.exchanges import make_exchange
from tests.support.responses import Object, function_call, message, output, response
from tests.support.turns import Turns, run

TASK = "Count the letters in the box."
SPAWN = function_call("call_d9AbCdEfGh12345", "helper", f'{{"task":"{TASK}"}}')
READ = function_call("call_e0AbCdEfGh12345", "read", '{"box":1}')


def asked(
    number: int, items: list[Object], *reply: Object, before: int | None = None, **more: object
) -> LlmCall:
    """Return call ``number``, which begins in that second and goes on with call ``before``."""
    body: Object = {"model": "gpt-5", "input": items, "tools": [{"type": "function", "name": "r"}]}
    if before is not None:
        body["previous_response_id"] = f"resp_{before}"
    return call_of(
        make_exchange(
            body | more,
            response("completed", *reply) | {"id": f"resp_{number}"},
            path="/v1/responses",
            fields={"user-agent": "OpenAI/Python 3.54.0"},
            start_ns=START + number * SECOND,
        )
    )


def user(text: str) -> Object:
    return {"role": "user", "content": text}


def test_chain_of_responses_is_one_session() -> None:
    out = run(
        [
            asked(1, [user("Sort it.")], READ),
            asked(2, [output("call_e0AbCdEfGh12345", "two")], message("Sorted."), before=1),
            asked(3, [user("And now?")], message("Done."), before=2),
        ]
    )
    found = [(turn.user_text, turn.calls, turn.tool_calls, turn.status) for turn in out.turns]
    assert found == [("Sort it.", 2, 1, "complete"), ("And now?", 1, 0, "complete")]
    assert len({turn.key.session_id for turn in out.turns}) == 1
    assert [tool.result.result for tool in out.tools if tool.result is not None] == ["two"]


def test_sub_agent_with_a_chain_of_its_own_stays_below_its_tool() -> None:
    out = run(
        [
            asked(1, [user("Sort it.")], SPAWN),
            asked(2, [user(TASK)], READ),
            asked(3, [output("call_e0AbCdEfGh12345", "two")], message("Two."), before=2),
            asked(4, [output("call_d9AbCdEfGh12345", "Two.")], message("Sorted."), before=1),
        ]
    )
    (turn,) = out.turns
    assert (turn.calls, turn.tool_calls, turn.status) == (4, 2, "complete")
    (agent,) = out.subagents
    assert agent.calls == 2
    assert agent.tool_run in {tool.key for tool in out.tools}


def test_response_that_was_not_seen_or_is_of_another_tap_names_no_session() -> None:
    alone = asked(2, [user("And now?")], message("Done."), before=1)
    first = asked(1, [user("Sort it.")], message("Sorted."))
    (expected,) = run([alone]).turns
    assert expected.user_text == "And now?"
    elsewhere = msgspec.structs.replace(first, source="pcap/elsewhere")
    sessions = {turn.key.source: turn.key.session_id for turn in run([elsewhere, alone]).turns}
    assert sessions[alone.source] == expected.key.session_id
    assert len(set(sessions.values())) == 2


def test_conversation_that_names_itself_follows_no_response() -> None:
    first = asked(1, [user("Sort it.")], message("Sorted."))
    named = asked(2, [user("Go on.")], message("Done."), before=1, conversation="conv_1234567890")
    one, two = run([first, named]).turns
    assert (one.key.conversation_id, two.key.conversation_id) == (None, "conv_1234567890")


def test_oldest_response_is_forgotten_at_the_limit_and_counted() -> None:
    calls = [
        asked(1, [user("Sort it.")], message("Sorted.")),
        asked(2, [user("Draw it.")], message("Drawn.")),
        asked(3, [user("Again.")], message("Sorted again."), before=1),
    ]
    turns = Turns(TurnLimits(max_kin=1)).feed(*calls).finish()
    assert turns.tracker.counters["kin_limit"] == 2
    assert len({turn.key.session_id for turn in turns.turns}) == 3
    assert len({turn.key.session_id for turn in run(calls).turns}) == 2
