# SPDX-License-Identifier: Apache-2.0
"""Calls as Codex makes them, over the Responses API. All texts are made up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from tests.support.agent_calls import SECOND, START
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import make_exchange, named_events_of
from tests.support.responses import Object, asked, message, response, stream_events

SESSION = "019a0000-1111-7222-8333-444444444444"
CHILD = "019a0000-5555-7666-8777-888888888888"
TOOLS: list[Object] = [
    {"type": "function", "name": "exec_command", "parameters": {"type": "object"}},
    {
        "type": "namespace",
        "name": "multi_agent_v1",
        "tools": [{"type": "function", "name": "spawn_agent"}],
    },
    {"type": "web_search"},
]
LEAD: list[Object] = [
    asked("You are a coding agent.", role="developer"),
    asked("Skills and permissions.", role="developer"),
    asked("<environment_context>\n  <cwd>/work</cwd>\n</environment_context>"),
]


def turn_metadata(turn: str = "turn-1", **members: object) -> Object:
    """Return the metadata that each call of a turn carries."""
    return {
        "installation_id": "made-up",
        "session_id": SESSION,
        "thread_id": SESSION,
        "agent_name": "/root",
        "turn_id": turn,
        "root_turn_id": turn,
        "request_kind": "turn",
        "thread_source": "user",
    } | members


def headers(metadata: Mapping[str, object] | None, **more: str) -> dict[str, str]:
    """Return the request fields of ``codex exec``; a ``_`` in ``more`` stands for ``-``."""
    fields = {
        "user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb (codex_exec; 0.169.0)",
        "originator": "codex_exec",
        "session-id": SESSION,
        "thread-id": SESSION,
    }
    if metadata is not None:
        fields["x-codex-turn-metadata"] = json.dumps(metadata)
    return fields | {name.replace("_", "-"): value for name, value in more.items()}


def codex_call(
    items: Sequence[Object],
    *output: Object,
    start: float = 0.0,
    end: float | None = None,
    fields: Mapping[str, str] | None = None,
    metadata: Mapping[str, object] | None = None,
    turn: str = "turn-1",
    tools: Sequence[Object] = TOOLS,
    status: str = "completed",
    cut: bool = False,
    client_port: int = 40000,
    **members: object,
) -> LlmCall:
    """Return a call with the items after the lead, answered with ``output``.

    Moments are seconds after ``START``; ``cut`` ends the stream with a reset and no ending.
    """
    said = metadata if metadata is not None else turn_metadata(turn)
    body: Object = {
        "model": "gpt-5-codex",
        "input": [*LEAD, *items],
        "tools": list(tools),
        "tool_choice": "auto",
        "reasoning": {"effort": "medium"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": said.get("session_id", SESSION),
        **members,
    }
    events: list[Object] = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate(output)
    ]
    # The Codex backend leaves the output of the final object empty.
    payloads = stream_events(events, None if cut else response(status))
    end = start + 0.5 if end is None else end
    step_ms = (end - start) * 1000 / len(payloads)
    exchange = make_exchange(
        body,
        events=named_events_of(payloads, first_ms=step_ms, step_ms=step_ms),
        path="/v1/responses",
        fields=headers(said) if fields is None else fields,
        start_ns=START + round(start * SECOND),
        upload_ms=0.1,
        first_byte_ms=0.2,
        ended_ms=(end - start) * 1000,
        end=ExchangeEnd.RESET if cut else ExchangeEnd.COMPLETE,
        client=("10.0.0.1", client_port),
    )
    return call_of(exchange, WireCalls(SOURCE))


def loop(
    calls: int, turn: str = "turn-1", start: float = 0.0, answer: bool = True
) -> list[LlmCall]:
    """Return the calls of one prompt: tool calls, and last an answer if asked for."""
    items: list[Object] = [asked(f"Do what {turn} says.")]
    made: list[LlmCall] = []
    for number in range(calls):
        is_last = answer and number == calls - 1
        call_id = f"call_{turn}{number:03d}AbCdEfGh"
        reply: Object = {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": call_id,
            "name": "exec_command",
            "arguments": f'{{"cmd":"make {number}"}}',
        }
        if is_last:
            reply = message("Done.")
        made.append(codex_call(items, reply, start=start + number, turn=turn))
        items = [
            *items,
            reply,
            {"type": "function_call_output", "call_id": call_id, "output": f"exit {number}"},
        ]
    return made
