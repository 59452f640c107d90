# SPDX-License-Identifier: Apache-2.0
"""OpenAI Responses: single calls, an agent with tools, and failures."""

from __future__ import annotations

import json
from typing import Any

import openai

from tests.replay.scenarios.openai_calls import DESK, RESULTS, TICKET_SCHEMA, TOOLS
from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    ToolFailure,
    failing,
    openai_client,
    plain,
)
from tests.support.llm_answers import (
    Answer,
    Choice,
    Delivery,
    Failure,
    Hang,
    RedactedThinking,
    Refusal,
    StreamFailure,
    Text,
    Thinking,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, delivered, in_order

CANCEL_AFTER = 9  # events that the cancelling client reads
LONG = say(
    "The front hub has play. Loosen the lock nut, turn the cone until the play is gone, and hold "
    "the cone while you tighten the nut again. Then check that the wheel runs freely.",
    tokens=Tokens(input=44, output=46),
)


def calls_script() -> Script:
    """One reply for each call of ``calls_drive``, in order."""
    return in_order(
        [
            say(
                '{"part": "rear derailleur", "urgent": true}',
                model="gpt-5-mini-2026-08-07",
                tokens=Tokens(input=96, output=14),
            ),
            say(
                "The chain jumps because the cable has stretched — two turns of the barrel "
                "adjuster are usually enough.",
                tokens=Tokens(input=71, output=38, cache_read=64),
            ),
            say("Ja, samstags ab 9 Uhr. 🚲", tokens=Tokens(input=24, output=11)),
            say("And on Sundays we are closed.", tokens=Tokens(input=52, output=9, cache_read=24)),
            Answer(
                choices=(
                    Choice(
                        blocks=(Refusal(text="I cannot help with opening a lock you do not own."),),
                        stop="refusal",
                    ),
                ),
                tokens=Tokens(input=33, output=12),
            ),
            Answer(
                choices=(
                    Choice(
                        blocks=(
                            Thinking(text="A wheel rolls about 2.1 m; 10 km is 10000 m."),
                            Text(text="About 4,760 turns."),
                        )
                    ),
                ),
                tokens=Tokens(input=29, output=88, reasoning=80),
            ),
            say(
                "First loosen the axle nuts, then push the wheel forward until the chain",
                stop="length",
                tokens=Tokens(input=31, output=16),
            ),
            say("The mail says", stop="content_filter", tokens=Tokens(input=30, output=3)),
            Answer(
                choices=(
                    Choice(
                        blocks=(
                            ToolUse(
                                id="ws_0a1b2c3d4e5f",
                                name="web_search",
                                arguments={"query": "opening hours bicycle museum"},
                                server_side=True,
                            ),
                            Text(
                                text="The museum opens at ten.",
                                citations=(
                                    {
                                        "type": "url_citation",
                                        "start_index": 0,
                                        "end_index": 24,
                                        "url": "https://museum.example.org/hours",
                                        "title": "Hours",
                                    },
                                ),
                            ),
                        )
                    ),
                ),
                tokens=Tokens(input=310, output=22),
            ),
            delivered(
                say("Items come once here.", tokens=Tokens(input=18, output=6)), empty_output=True
            ),
            delivered(
                say("No event has a name here.", tokens=Tokens(input=19, output=7)),
                event_names="none",
            ),
        ]
    )


def calls_drive(url: str) -> None:
    """Streamed and whole calls with the parameters that spans show."""
    with openai_client(url) as client:
        create: Any = client.responses.create
        schema = TICKET_SCHEMA["json_schema"]
        create(
            model="gpt-5-mini",
            instructions=DESK,
            input="My gears skip and I race on Sunday!",
            temperature=0.2,
            top_p=0.9,
            max_output_tokens=60,
            text={"format": {"type": "json_schema", **schema}},
            service_tier="flex",
            store=False,
        )

        def ask(prompt: Json, model: str = "gpt-5", **options: Json) -> str:
            """Ask and read the answer; return the id of the response."""
            reply = create(model=model, input=prompt, **options)
            if not options.get("stream"):
                return str(reply.id)
            found = ""
            for event in reply:
                if event.type == "response.created":
                    found = event.response.id
            return found

        ask("Why does my chain jump under load?", stream=True)
        first = ask([{"role": "user", "content": "Habt ihr am Samstag offen?"}])
        ask("And on Sunday?", previous_response_id=first, stream=True)
        ask("How do I open a lock that is not mine?", stream=True)
        ask("How often does a wheel turn in 10 km?", reasoning={"effort": "high"}, stream=True)
        ask("How do I tighten the chain?", max_output_tokens=16, stream=True)
        ask("Repeat the insult from the last mail.")
        ask("When does the museum open?", tools=[{"type": "web_search"}], stream=True)
        ask("Do items come twice?", stream=True)
        ask("Does an event have a name?", stream=True)


def agent_script() -> Script:
    """Two prompts: the first needs two rounds of tools, the second one."""
    return in_order(
        [
            act(
                RedactedThinking(data="gAAAAABo0e8bUsbrPDtlOjCBhV4iPL1eIHsRj8F3nPo"),
                ToolUse(
                    id="call_b7Fq2LrP0sWn", name="search_stock", arguments={"query": "rear 7100"}
                ),
                tokens=Tokens(input=312, output=40, reasoning=16),
            ),
            act(
                Text(text="The derailleur is on the shelf; the cassette must be ordered."),
                ToolUse(
                    id="call_Jd81kVbTz3Xc",
                    name="supplier_price",
                    arguments={"supplier": "Nordrad", "part_number": "CS-7000"},
                ),
                ToolUse(
                    id="call_0mYtR5uHq9Ea",
                    name="supplier_price",
                    arguments={"supplier": "Velo Nord", "part_number": "CS-7000"},
                ),
                tokens=Tokens(input=355, output=71, cache_read=256),
                delivery=Delivery(interleave=True),
            ),
            say(
                "A derailleur is here and a cassette costs 61.90 € at Nordrad.",
                tokens=Tokens(input=530, output=44, cache_read=448),
            ),
            act(
                ToolUse(id="call_Zs6eUoI1fKdB", name="search_stock", arguments={"query": "tube"}),
                tokens=Tokens(input=601, output=20, cache_read=512),
            ),
            say("There are no inner tubes in stock.", tokens=Tokens(input=640, output=19)),
        ]
    )


def agent_drive(url: str) -> None:
    """An agent loop over one client; items go back as they came."""
    tools = [{"type": "function", "strict": False, **item} for item in TOOLS]
    items: list[Json] = [
        {"role": "developer", "content": "You are the parts desk of a bicycle workshop."}
    ]
    with openai_client(url) as client:
        stream: Any = client.responses.stream
        for prompt in ("Make an offer: rear derailleur, cassette.", "And have we inner tubes?"):
            items.append({"role": "user", "content": prompt})
            calls = True
            while calls:
                with stream(
                    model="gpt-5",
                    input=items,
                    tools=tools,
                    store=False,
                    include=["reasoning.encrypted_content"],
                ) as reply:
                    output = reply.get_final_response().output
                items += [_sent_back(plain(item)) for item in output]
                calls = [item for item in output if item.type == "function_call"]
                items += [
                    {
                        "type": "function_call_output",
                        "call_id": call.call_id,
                        "output": _run(call.name, json.loads(call.arguments)),
                    }
                    for call in calls
                ]


def _sent_back(item: Json) -> Json:
    """Return an output item as an input item; the SDK adds members of its own to some."""
    for part in item.get("content", ()):
        part.pop("parsed", None)
    item.pop("parsed_arguments", None)
    return item


def _run(name: str, arguments: dict[str, Json]) -> str:
    key = f"{name}/{arguments['supplier']}" if name == "supplier_price" else name
    result = RESULTS[key]
    return result.text if isinstance(result, ToolFailure) else result


def faults_script() -> Script:
    """One reply for each attempt of ``faults_drive``, in order."""
    return in_order(
        [
            Failure(status=400, type="invalid_request_error", message="No such model: gpt-55"),
            Failure(
                status=429,
                type="rate_limit_exceeded",
                message="30 requests per minute are allowed",
                retry_after_s=0.2,
            ),
            LONG,
            StreamFailure(answer=LONG, after=7, type="rate_limit_exceeded", message="Slow down"),
            say("The hub", stop="failed"),
            say("The hub", stop="failed"),
            say("The hub has", stop="cancelled"),
            delivered(LONG, cut="hang", cut_after=CANCEL_AFTER),
            Hang(),
            Hang(reset=True),
            delivered(LONG, cut="rst", cut_after=12),
            delivered(LONG, cut="fin", cut_after=14),
            delivered(LONG, cut="fin", cut_after=0),
            LONG,
        ]
    )


def faults_drive(url: str) -> None:
    """Each call fails in another way, but for the retried one and the last."""
    with openai_client(url, max_retries=0) as client:

        def ask(
            prompt: str, *, times: int | None = None, retries: int = 0, **options: Json
        ) -> None:
            """Ask and read the answer, at most ``times`` events of it."""
            create: Any = client.with_options(max_retries=retries).responses.create
            reply = create(model="gpt-5", input=prompt, **options)
            if options.get("stream"):
                with reply:
                    for count, _ in enumerate(reply, 1):
                        if count == times:
                            return

        with failing(openai.BadRequestError):
            ask("Why does the hub rattle?")
        ask("Why does the hub rattle on Monday?", retries=2, stream=True)
        ask("Why does the hub rattle on Tuesday?", stream=True)
        ask("Why does the hub rattle on Wednesday?", stream=True)
        ask("Why does the hub rattle on Thursday?")
        ask("Why does the hub rattle on Friday?", stream=True)
        ask("Why does the hub rattle on Saturday?", times=CANCEL_AFTER, stream=True)
        with failing(openai.APITimeoutError):
            ask("Why does the hub rattle on Sunday?", timeout=0.4)
        with failing():
            ask("Why does the hub rattle at night?")
        with failing():
            ask("Why does the hub rattle at noon?", stream=True)
        with failing():
            ask("Why does the hub rattle in rain?", stream=True)
        with failing():
            ask("Why does the hub rattle in snow?")
        ask("Why does the hub rattle, at last?", stream=True)


SCENARIOS = (
    Scenario(
        name="openai-responses-calls",
        about="Single Responses calls of the openai SDK: whole and streamed, JSON schema output, "
        "a model alias, previous_response_id, a refusal, a reasoning summary, incomplete by "
        "length and by content filter, a web search with a citation, a final object without "
        "output, events without names.",
        script=calls_script,
        drive=calls_drive,
    ),
    Scenario(
        name="openai-responses-agent",
        about="An agent loop of the openai SDK over Responses: two prompts, three rounds of tools, "
        "two parallel tool calls whose deltas alternate, encrypted reasoning that goes back.",
        script=agent_script,
        drive=agent_drive,
    ),
    Scenario(
        name="openai-responses-faults",
        about="The openai SDK over Responses against a server that fails: 400, 429 with "
        "Retry-After before success, an error event, response.failed streamed and whole, "
        "response.cancelled, a cancelled stream, a timeout, resets before and inside a response, "
        "a stream and a JSON body cut by FIN.",
        script=faults_script,
        drive=faults_drive,
    ),
)
