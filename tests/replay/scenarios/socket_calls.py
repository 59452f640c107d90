# SPDX-License-Identifier: Apache-2.0
"""Calls over WebSocket."""

from __future__ import annotations

from tests.replay.scenarios.openai_calls import TOOLS
from tests.replay.scenarios.scenario import Json, Scenario, openai_client
from tests.support.llm_answers import Failure, Thinking, Tokens, ToolUse, act, say
from tests.support.llm_server import Script, in_order

ENDINGS = ("response.completed", "error")


def responses_script() -> Script:
    """One reply for each request of ``responses_drive``, in order."""
    return in_order(
        [
            say(
                "The chain jumps because the cable has stretched — two turns are enough.",
                tokens=Tokens(input=71, output=38, cache_read=64),
            ),
            act(
                Thinking(text="The stock tells it."),
                ToolUse(id="call_ws0000000001", name="stock", arguments={"part": "cable"}),
                tokens=Tokens(input=96, output=24, reasoning=9),
            ),
            say("Three cables are left. 🚲", tokens=Tokens(input=140, output=11)),
            Failure(status=400, type="invalid_request_error", message="No such response."),
            say("Gern geschehen.", tokens=Tokens(input=24, output=6)),
        ]
    )


def responses_drive(url: str) -> None:
    """Ask on one connection, each time for what is new, then on a second one."""
    tools: Json = [{"type": "function", "strict": False, **tool} for tool in TOOLS]
    with openai_client(url) as client:
        with client.responses.connect() as connection:

            def ask(**request: Json) -> str | None:
                """Send a request and return the id of its response, None for an error."""
                connection.response.create(
                    model="gpt-5", tools=tools, prompt_cache_key="conv_workshop01", **request
                )
                for event in connection:
                    if event.type == "response.completed":
                        return event.response.id
                    if event.type == "error":
                        return None
                raise AssertionError("the server went away")

            first = ask(input="Why does the chain jump?", instructions="Be brief.")
            second = ask(input="Are there cables?", previous_response_id=first)
            result = {
                "type": "function_call_output",
                "call_id": "call_ws0000000001",
                "output": "3",
            }
            ask(input=[result], previous_response_id=second)
            assert ask(input="And brakes?", previous_response_id="resp_gone") is None
        with client.responses.connect() as connection:
            connection.response.create(model="gpt-5-mini", input="Danke!", temperature=0.2)
            for event in connection:
                if event.type in ENDINGS:
                    break


SCENARIOS = (
    Scenario(
        name="openai-responses-websocket",
        about="Responses over WebSocket with the openai SDK: an answer, a tool call and its "
        "result, each request with previous_response_id and what is new; an error message; a "
        "second connection.",
        script=responses_script,
        drive=responses_drive,
        websockets=True,
    ),
)
