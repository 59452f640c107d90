# SPDX-License-Identifier: Apache-2.0
"""Chat and conversations of Mistral through its official SDK.

Recording needs the package mistralai; replaying does not.
"""

from __future__ import annotations

from typing import Any

from tests.replay.scenarios.maker_calls import (
    COUNT,
    FALLS,
    HANG,
    PROMPT,
    TIDE,
    TIDES,
    harbour,
    looks,
    thoughtful,
)
from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    failing,
    openai_tools,
    read_until_hang,
)
from tests.support.llm_answers import (
    Answer,
    Choice,
    Failure,
    Text,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, in_order

MISTRAL = "mistral-large-latest"

MAGISTRAL = "magistral-medium-latest"


def mistral_script() -> Script:
    """Answers in the order of ``mistral_drive``."""
    own: Json = {"dialect": "mistral"}
    unhappy = {
        "object": "error",
        "message": "Service tier capacity exceeded for this model.",
        "type": "service_tier_capacity_exceeded",
        "param": None,
        "code": "3505",
    }
    return in_order(
        [
            say("At 06:14.", tokens=Tokens(input=20, output=6), **own),
            Answer(choices=(thoughtful(),), tokens=Tokens(input=30, output=25), **own),
            Answer(choices=(thoughtful(),), tokens=Tokens(input=30, output=25), **own),
            say("At", stop="length", tokens=Tokens(input=20, output=1), **own),
            act(*looks("D681PevKs", "a9Xk2LmQ0"), tokens=Tokens(input=90, output=40), **own),
            say("Kuivastu 06:14, Virtsu 06:02.", tokens=Tokens(input=150, output=14), **own),
            Failure(status=429, type=unhappy["type"], message=unhappy["message"], body=unhappy),
            say(COUNT, tokens=Tokens(input=20, output=9), delivery=HANG, **own),
            say(COUNT, tokens=Tokens(input=20, output=9), delivery=FALLS, **own),
        ]
    )


def mistral_drive(url: str) -> None:
    """Chat of Mistral: reasoning as parts of the content, tools, errors, broken streams."""
    from mistralai.client import Mistral

    with Mistral(api_key="dummy-not-a-key", server_url=url) as client:
        chat: Any = client.chat
        request: Json = {"model": MISTRAL, "messages": PROMPT}
        chat.complete(temperature=0.2, top_p=0.9, random_seed=7, **request)
        chat.complete(model=MAGISTRAL, messages=PROMPT)
        for _ in chat.stream(model=MAGISTRAL, messages=PROMPT):
            pass
        for _ in chat.stream(max_tokens=1, stop=["END"], **request):
            pass
        messages: list[Json] = [*PROMPT]
        calls: list[Any] = []
        for event in chat.stream(model=MISTRAL, messages=messages, tools=openai_tools([TIDE])):
            calls += event.data.choices[0].delta.tool_calls or []
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": TIDES[harbour(call)]}
            for call in calls
        ]
        chat.complete(model=MISTRAL, messages=messages, tools=openai_tools([TIDE]))
        with failing():
            chat.complete(**request)
        with chat.stream(**request) as left:
            read_until_hang(left, HANG)
        with failing():
            for _ in chat.stream(**request):
                pass


def counted(input_tokens: int, output_tokens: int) -> Tokens:
    """Return counts of an API that tells no others."""
    return Tokens(input=input_tokens, output=output_tokens, untold=("cache_read", "reasoning"))


def conversation_script() -> Script:
    """Answers in the order of ``conversation_drive``."""
    own: Json = {"model": MISTRAL}  # an appended request names none
    searched = ToolUse(id="entry_0", name="web_search", arguments={}, server_side=True)
    both = Answer(
        choices=(Choice(blocks=(searched, Text(text="At 06:14.")), stop="stop"),),
        tokens=counted(40, 9),
        **own,
    )
    calls = looks("D681PevKs", "a9Xk2LmQ0")
    return in_order(
        [
            both,
            act(*calls, tokens=counted(90, 40), **own),
            say("Kuivastu 06:14, Virtsu 06:02.", tokens=counted(150, 14), **own),
            act(*calls, tokens=counted(90, 40), **own),
            say("Both before seven.", tokens=counted(150, 5), **own),
            Failure(status=422, type="invalid_request_error", message="No such entry."),
            say(COUNT, tokens=counted(20, 9), **own, delivery=HANG),
            say(COUNT, tokens=counted(20, 9), **own, delivery=FALLS),
        ]
    )


def conversation_drive(url: str) -> None:
    """Start a conversation of Mistral, append to it and restart it, whole and streamed."""
    from mistralai.client import Mistral

    results: Json = [
        {"type": "function.result", "tool_call_id": identity, "result": tide}
        for identity, tide in zip(("D681PevKs", "a9Xk2LmQ0"), TIDES.values(), strict=True)
    ]
    started: Json = {"model": MISTRAL, "instructions": "Be brief.", "tools": openai_tools([TIDE])}
    with Mistral(api_key="dummy-not-a-key", server_url=url) as client:
        talk: Any = client.beta.conversations
        arguments = {"temperature": 0.2, "max_tokens": 90, "random_seed": 7}
        first = talk.start(
            inputs="When is low water in Kuivastu?", completion_args=arguments, **started
        )
        same: Json = {"conversation_id": first.conversation_id}
        talk.append(inputs="And in Virtsu?", **same)
        talk.append(inputs=results, **same)
        for inputs in (PROMPT, results):
            for _ in talk.append_stream(inputs=inputs, **same):
                pass
        with failing():
            talk.restart(from_entry_id="entry_9", inputs="Again?", **same)
        with talk.start_stream(inputs=PROMPT, **started) as left:
            read_until_hang(left, HANG)
        with failing():
            for _ in talk.restart_stream(from_entry_id="entry_0", inputs=PROMPT, **same):
                pass
            raise ConnectionError  # the SDK ends such a stream in silence


SCENARIOS = (
    Scenario(
        name="mistral-calls",
        about="Chat of the mistralai SDK: whole and streamed, reasoning as parts of the content, "
        "an answer cut by its limit, a tool loop with whole tool calls in a stream, an error "
        "status, a stream that the client leaves and one that breaks.",
        script=mistral_script,
        drive=mistral_drive,
        packages=("mistralai",),
    ),
    Scenario(
        name="mistral-conversations",
        about="Conversations of the mistralai SDK: started, appended to and restarted, whole and "
        "streamed, a tool of the server, tool loops, an error status, a stream that the client "
        "leaves and one that breaks.",
        script=conversation_script,
        drive=conversation_drive,
        packages=("mistralai",),
    ),
)
