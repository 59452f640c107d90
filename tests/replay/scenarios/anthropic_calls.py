# SPDX-License-Identifier: Apache-2.0
"""Anthropic Messages: single calls, and an agent with tools and thinking."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib
from typing import Any

import anthropic

from tests.replay.scenarios.scenario import (
    ANTHROPIC_KEY,
    Json,
    Scenario,
    ToolFailure,
    anthropic_client,
    anthropic_tools,
    anthropic_turn,
    tool,
)
from tests.support.llm_answers import (
    Answer,
    Asked,
    Choice,
    Delivery,
    RedactedThinking,
    Reply,
    ServerToolResult,
    Text,
    Thinking,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, in_order

MODEL = "claude-sonnet-5"
ALMANAC = (
    "You answer questions of allotment gardeners. The almanac below is the only source you use. "
    + " ".join(
        f"Week {week}: prune row {week % 7 + 1}, water every {week % 3 + 2} days, "
        f"expect {4 + week % 11} degrees at night."
        for week in range(1, 41)
    )
)


def signature(text: str) -> str:
    """Return something that looks like a thinking signature and is the same every time."""
    return base64.b64encode(zlib.compress(text.encode())).decode()


def picture() -> str:
    """Return a PNG of one grey pixel in base64."""

    def part(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = part(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    data = part(b"IDAT", zlib.compress(b"\x00\x80"))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + data + part(b"IEND", b"")).decode()


def calls_script() -> Script:
    """One reply for each call of ``calls_drive``, in order."""
    thought = "Week 14 says row 1. The night is 7 degrees, so beans wait one more week."
    source = "https://almanac.example/frost"
    return in_order(
        [
            say("Prune row 1 this week.", tokens=Tokens(input=1480, output=9, cache_write=1460)),
            say(
                "Water every four days; the nights stay above five degrees.",
                tokens=Tokens(input=1482, output=15, cache_read=1460),
            ),
            Answer(
                choices=(
                    Choice(
                        blocks=(
                            Thinking(text=thought, signature=signature(thought)),
                            RedactedThinking(data=signature("kept from view")),
                            Text(text="Wait a week before you sow beans."),
                        )
                    ),
                ),
                tokens=Tokens(input=1490, output=64, cache_read=1460),
            ),
            Answer(
                choices=(
                    Choice(
                        blocks=(
                            ToolUse(
                                id="srvtoolu_01FrostNight",
                                name="web_search",
                                arguments={"query": "last frost date allotments"},
                                server_side=True,
                            ),
                            ServerToolResult(
                                id="srvtoolu_01FrostNight",
                                type="web_search_tool_result",
                                content=[
                                    {
                                        "type": "web_search_result",
                                        "title": "Frost dates",
                                        "url": source,
                                        "encrypted_content": signature("frost page"),
                                        "page_age": "3 days",
                                    }
                                ],
                            ),
                        ),
                        stop="pause",
                    ),
                ),
                tokens=Tokens(input=240, output=40),
            ),
            Answer(
                choices=(
                    Choice(
                        blocks=(
                            Text(
                                text="The last frost is expected on 12 May.",
                                citations=(
                                    {
                                        "type": "web_search_result_location",
                                        "url": source,
                                        "title": "Frost dates",
                                        "encrypted_index": signature("index"),
                                        "cited_text": "last frost: 12 May",
                                    },
                                ),
                            ),
                        )
                    ),
                ),
                tokens=Tokens(input=420, output=18),
            ),
            say("A single grey square; I see no plant.", tokens=Tokens(input=60, output=11)),
            say("I will not help to poison", stop="refusal", tokens=Tokens(input=25, output=6)),
            say("Beans, peas, leeks,", stop="length", tokens=Tokens(input=21, output=8)),
            Answer(
                choices=(
                    Choice(
                        blocks=(Text(text="1. Dig. 2. Rake. "),),
                        stop="stop_sequence",
                        stop_sequence="3.",
                    ),
                ),
                tokens=Tokens(input=22, output=9),
            ),
        ]
    )


def calls_drive(url: str) -> None:
    """Whole and streamed calls, with cache marks, thinking, server tools and an image."""
    system: Json = [{"type": "text", "text": ALMANAC, "cache_control": {"type": "ephemeral"}}]
    with anthropic_client(url) as client:
        create: Any = client.messages.create

        def ask(prompt: Json, *, max_tokens: int = 1024, **options: Json) -> Any:
            messages = [{"role": "user", "content": prompt}]
            request = {"model": MODEL, "max_tokens": max_tokens, "messages": messages, **options}
            if not options.get("stream"):
                return create(**request)
            return [event.type for event in create(**request)]

        client.messages.count_tokens(
            model=MODEL, system=system, messages=[{"role": "user", "content": "What now?"}]
        )
        ask("It is week 14. What do I prune?", system=system)
        ask("How often do I water?", system=system, stream=True)
        thinking = {"type": "enabled", "budget_tokens": 2000}
        ask("May I sow beans?", max_tokens=4000, system=system, thinking=thinking, stream=True)
        search: Json = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]
        history: list[Json] = [{"role": "user", "content": "When is the last frost?"}]
        anthropic_turn(
            client, history, lambda name, _: name, model=MODEL, max_tokens=900, tools=search
        )
        source = {"type": "base64", "media_type": "image/png", "data": picture()}
        ask([{"type": "image", "source": source}, {"type": "text", "text": "What plant is it?"}])
        ask("How do I poison my neighbour's hedge?", stream=True)
        sampling = {"temperature": 0.7, "top_k": 40}
        ask("Name vegetables for shade.", max_tokens=8, extra_body=sampling)
        ask("List the steps.", stop_sequences=["3."], metadata={"user_id": "plot-17"}, stream=True)


TOOLS = (
    tool("soil_sensor", "Read the soil sensor of a bed.", bed="Number of the bed"),
    tool("plan_watering", "Plan watering of a bed.", bed="Number of the bed", time="HH:MM"),
    {
        "name": "water_budget",
        "description": "How many litres are left today.",
        "parameters": {"type": "object", "properties": {}},
    },
)


def run_tool(name: str, arguments: dict[str, Json]) -> str | ToolFailure:
    """Return the scripted result of a tool."""
    match name, arguments.get("bed"):
        case "soil_sensor", "3":
            return '{"bed": 3, "moisture": 0.11, "temperature_c": 14.5}'
        case "soil_sensor", _:
            return ToolFailure("sensor 5 is offline since 04:12")
        case "water_budget", _:
            return "180 litres"
    return f"bed {arguments['bed']} planned for {arguments['time']}"


def agent_script() -> Script:
    """Two prompts with thinking; parallel tools with alternating deltas; a call without input."""
    look = "Both beds may be dry. I read the sensors and the budget at once."
    plan = "Bed 3 is dry at 0.11. Bed 5 gives no value, so I leave it alone."
    return in_order(
        [
            act(
                Thinking(text=look, signature=signature(look)),
                Text(text="I read the sensors first."),
                ToolUse(id="toolu_01Bed3Read", name="soil_sensor", arguments={"bed": "3"}),
                ToolUse(id="toolu_01Bed5Read", name="soil_sensor", arguments={"bed": "5"}),
                ToolUse(id="toolu_01Budget", name="water_budget", arguments=None),
                tokens=Tokens(input=905, output=118, cache_write=870),
                delivery=Delivery(interleave=True),
            ),
            act(
                Thinking(text=plan, signature=signature(plan)),
                ToolUse(
                    id="toolu_01Plan3",
                    name="plan_watering",
                    arguments={"bed": "3", "time": "06:30"},
                ),
                tokens=Tokens(input=1180, output=74, cache_read=870, cache_write=240),
            ),
            say(
                "Bed 3 is dry and will be watered at 06:30. The sensor of bed 5 is offline, so I "
                "planned nothing there; 180 litres are left.",
                tokens=Tokens(input=1302, output=41, cache_read=1110, cache_write=150),
            ),
            act(
                ToolUse(
                    id="toolu_01Plan5",
                    name="plan_watering",
                    arguments={"bed": "5", "time": "07:00"},
                ),
                tokens=Tokens(input=1360, output=58, cache_read=1260),
            ),
            say(
                "Done: bed 5 gets water at 07:00.",
                tokens=Tokens(input=1440, output=14, cache_read=1260),
            ),
        ]
    )


def agent_drive(url: str) -> None:
    """An agent loop with extended thinking over one client."""
    options: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 4096,
        "system": "You run the irrigation of an allotment garden.",
        "tools": anthropic_tools(TOOLS),
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }
    messages: list[Json] = [
        {"role": "user", "content": "Check beds 3 and 5 and water what is dry tomorrow morning."}
    ]
    with anthropic_client(url) as client:
        anthropic_turn(client, messages, run_tool, **options)
        messages.append({"role": "user", "content": "Water bed 5 anyway, at seven."})
        anthropic_turn(client, messages, run_tool, **options)


GREETINGS = {
    "Finnish": "Hyvää huomenta",
    "Greek": "Καλημέρα",
    "Japanese": "おはようございます",
    "Georgian": "დილა მშვიდობისა",
}


def async_script() -> Script:
    """Answers by language, so that the order of arrival does not matter."""

    def reply(asked: Asked) -> Reply:
        prompt = asked.body["messages"][-1]["content"]
        language = next(name for name in GREETINGS if name in prompt)
        return say(
            GREETINGS[language],
            tokens=Tokens(input=18, output=len(language)),
            delivery=Delivery(write_bytes=11, first_token_delay_s=0.01),
        )

    return reply


def async_drive(url: str) -> None:
    """Concurrent calls of the async client; the writes cut through multi-byte characters."""

    async def one(client: anthropic.AsyncAnthropic, language: str) -> None:
        prompt = f"Say good morning in {language}."
        async with client.messages.stream(
            model="claude-haiku-5", max_tokens=64, messages=[{"role": "user", "content": prompt}]
        ) as stream:
            await stream.get_final_message()

    async def all_of_them() -> None:
        async with anthropic.AsyncAnthropic(base_url=url, api_key=ANTHROPIC_KEY) as client:
            await asyncio.gather(*(one(client, language) for language in GREETINGS))

    asyncio.run(all_of_them())


SCENARIOS = (
    Scenario(
        name="anthropic-calls",
        about="Single Messages calls of the anthropic SDK: token counting, prompt cache, thinking "
        "with signature, redacted thinking, a server-side search with pause and citation, an "
        "image, a refusal, stops by length and by sequence.",
        script=calls_script,
        drive=calls_drive,
    ),
    Scenario(
        name="anthropic-agent",
        about="An agent loop of the anthropic SDK: two prompts, extended thinking, three parallel "
        "tool calls with alternating deltas, one without input, one failed tool.",
        script=agent_script,
        drive=agent_drive,
    ),
    Scenario(
        name="anthropic-async",
        about="Concurrent streams of the asynchronous anthropic client in several scripts, "
        "written in pieces of 11 bytes that cut characters, with nanosecond times.",
        script=async_script,
        drive=async_drive,
        nanoseconds=True,
    ),
)
