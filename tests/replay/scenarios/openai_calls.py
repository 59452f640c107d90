# SPDX-License-Identifier: Apache-2.0
"""OpenAI Chat Completions: single calls, and an agent with tools."""

from __future__ import annotations

import asyncio
from typing import Any

import openai

from tests.replay.scenarios.scenario import (
    OPENAI_KEY,
    Json,
    Scenario,
    ToolFailure,
    openai_client,
    openai_tools,
    openai_turn,
    tool,
)
from tests.support.llm_answers import (
    Answer,
    Asked,
    Choice,
    Delivery,
    Refusal,
    Reply,
    Text,
    Thinking,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, in_order

DESK = "You sort incoming mail of a bicycle workshop. Be brief and name the part that is broken."
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # W3C's own example
TICKET_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "ticket",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"part": {"type": "string"}, "urgent": {"type": "boolean"}},
            "required": ["part", "urgent"],
            "additionalProperties": False,
        },
    },
}


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
                "The chain jumps because the cable of the rear derailleur has stretched. "
                "Two turns of the barrel adjuster — counter-clockwise — are usually enough.",
                tokens=Tokens(input=71, output=38, cache_read=64),
            ),
            say("Ja, wir öffnen samstags um 9 Uhr. 🚲 Die Werkstatt ist bis 14 Uhr besetzt."),
            Answer(
                choices=(
                    Choice(blocks=(Text(text="Spring check for your bike, ready in two days"),)),
                    Choice(blocks=(Text(text="Back in the saddle: our spring service"),)),
                ),
                tokens=Tokens(input=40, output=23),
                delivery=Delivery(interleave=True),
            ),
            Answer(
                choices=(
                    Choice(blocks=(Text(text="Quiet brakes"),)),
                    Choice(blocks=(Text(text="Brakes that do not sing"),), stop="length"),
                ),
                tokens=Tokens(input=38, output=9),
            ),
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
                            Thinking(text="A 28 inch wheel rolls about 2.1 m. 10 km is 10000 m. "),
                            Thinking(text="10000 / 2.1 is near 4760.", member="reasoning"),
                            Text(text="About 4,760 turns."),
                        )
                    ),
                ),
                tokens=Tokens(input=29, output=88, reasoning=80),
                delivery=Delivery(usage="every"),
            ),
            say(
                "First loosen the axle nuts, then push the wheel forward until the chain",
                stop="length",
                tokens=Tokens(input=31, output=16),
            ),
            say("", stop="content_filter", tokens=Tokens(input=30, output=0)),
            say("Olga can be reached again.", tokens=Tokens(input=58, output=140, reasoning=128)),
        ]
    )


def calls_drive(url: str) -> None:
    """Streamed and whole calls with the parameters that spans show."""
    with openai_client(url) as client:
        create: Any = client.chat.completions.create
        create(
            model="gpt-5-mini",
            messages=[
                {"role": "system", "content": DESK},
                {"role": "user", "content": "My gears skip and I race on Sunday!"},
            ],
            temperature=0.2,
            top_p=0.9,
            seed=20260,
            max_completion_tokens=60,
            stop=["\n\n"],
            frequency_penalty=0.1,
            presence_penalty=0.3,
            response_format=TICKET_SCHEMA,
            user="customer-118",
        )
        streamed: dict[str, Json] = {"stream": True, "stream_options": {"include_usage": True}}

        def ask(prompt: str, model: str = "gpt-5", **options: Json) -> None:
            messages = [{"role": "user", "content": prompt}]
            reply = create(model=model, messages=messages, **options)
            if options.get("stream"):
                for _ in reply:
                    pass

        ask("Why does my chain jump under load?", **streamed)
        ask("Habt ihr am Samstag offen?", model="qwen3-32b", stream=True)
        ask("Write a subject line for the spring mail.", n=2, temperature=1.0, **streamed)
        ask("Name a brake pad.", n=2, max_completion_tokens=8)
        ask("How do I open a lock that is not mine?", **streamed)
        ask("How often does a 28 inch wheel turn in 10 km?", "deepseek-reasoner", **streamed)
        ask("How do I tighten the chain of a single-speed?", max_completion_tokens=16, **streamed)
        ask("Repeat the insult from the last mail.")
        # The default policy masks the address; the caller's trace becomes a link.
        ask(
            "Write to olga.lind@example.org that her bicycle is ready.",
            reasoning_effort="high",
            service_tier="flex",
            extra_headers={"traceparent": TRACEPARENT},
            **streamed,
        )


TOOLS = (
    tool("search_stock", "Find parts in the workshop's stock.", query="Words to look for"),
    tool("supplier_price", "Ask a supplier for a price.", supplier="Name", part_number="Number"),
    tool("write_offer", "Store an offer for a customer.", customer="Number", text="The offer"),
)
RESULTS: dict[str, str | ToolFailure] = {
    "search_stock": "2 x RD-7100 (shelf B4), 0 x CS-7000",
    "supplier_price/Nordrad": '{"part_number": "CS-7000", "price_eur": 61.9, "days": 2}',
    "supplier_price/Velo Nord": ToolFailure("supplier did not answer within 10 s"),
    "write_offer": "offer 2291 stored",
}


def run_tool(name: str, arguments: dict[str, Json]) -> str | ToolFailure:
    """Return the scripted result of a tool."""
    key = f"{name}/{arguments['supplier']}" if name == "supplier_price" else name
    return RESULTS[key]


def agent_script() -> Script:
    """Two prompts: the first needs three rounds of tools, the second one."""
    return in_order(
        [
            act(
                ToolUse(
                    id="call_b7Fq2LrP0sWn", name="search_stock", arguments={"query": "rear 7100"}
                ),
                tokens=Tokens(input=312, output=24),
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
            act(
                ToolUse(
                    id="call_9pLxGwC4nA2k",
                    name="write_offer",
                    arguments={
                        "customer": "118",
                        "text": "Rear derailleur RD-7100 and cassette CS-7000, fitted: 148.00 €",
                    },
                ),
                tokens=Tokens(input=458, output=52, cache_read=384),
            ),
            say(
                "Offer 2291 is stored: derailleur and cassette fitted for 148.00 €. The cassette "
                "arrives in two days from Nordrad; Velo Nord did not answer.",
                tokens=Tokens(input=530, output=44, cache_read=448),
            ),
            act(
                ToolUse(id="call_Zs6eUoI1fKdB", name="search_stock", arguments={"query": "tube"}),
                tokens=Tokens(input=601, output=20, cache_read=512),
            ),
            say(
                "There are two derailleurs on shelf B4 and no inner tubes in stock.",
                tokens=Tokens(input=640, output=19, cache_read=576),
            ),
        ]
    )


def agent_drive(url: str) -> None:
    """An agent loop over one client."""
    messages: list[Json] = [
        {"role": "system", "content": "You are the parts desk of a bicycle workshop."},
        {"role": "user", "content": "Make an offer for customer 118: rear derailleur, cassette."},
    ]
    options = {"model": "gpt-5", "tools": openai_tools(TOOLS), "parallel_tool_calls": True}
    options["stream_options"] = {"include_usage": True}
    with openai_client(url) as client:
        openai_turn(client, messages, run_tool, **options)
        messages.append({"role": "user", "content": "And do we have inner tubes?"})
        openai_turn(client, messages, run_tool, **options)


CITIES = {
    "Aarhus": "Aarhus: 214 rentals, 9 repairs, one stolen frame.",
    "Bergen": "Bergen: 87 rentals in heavy rain, 31 repairs of brakes.",
    "Gdańsk": "Gdańsk: 402 rentals, 12 repairs, new depot opened.",
    "Turku": "Turku: 156 rentals, 4 repairs.",
    "Malmö": "Malmö: 377 rentals, 22 repairs, mostly flat tyres.",
}


def async_script() -> Script:
    """Answers by city, so that the order of arrival does not matter."""

    def reply(asked: Asked) -> Reply:
        text = asked.body["messages"][-1]["content"]
        city = next(name for name in CITIES if name in text)
        size = len(CITIES[city])
        return say(
            CITIES[city],
            tokens=Tokens(input=20 + len(city), output=size // 4),
            delivery=Delivery(first_token_delay_s=0.02, gap_s=0.004),
        )

    return reply


def async_drive(url: str) -> None:
    """Concurrent calls of the async client, streamed and not."""

    async def one(client: openai.AsyncOpenAI, city: str, stream: bool) -> None:
        options: dict[str, Any] = {"stream": stream}
        if stream:
            options["stream_options"] = {"include_usage": True}
        create: Any = client.chat.completions.create
        prompt = f"Sum up the week of the rental station in {city}."
        reply = await create(
            model="gpt-5-nano", messages=[{"role": "user", "content": prompt}], **options
        )
        if stream:
            async for _ in reply:
                pass

    async def all_of_them() -> None:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=OPENAI_KEY) as client:
            jobs = (one(client, city, place % 2 == 0) for place, city in enumerate(CITIES))
            await asyncio.gather(*jobs)

    asyncio.run(all_of_them())


SCENARIOS = (
    Scenario(
        name="openai-chat-calls",
        about="Single Chat Completions calls of the openai SDK: whole and streamed, JSON schema "
        "output, two choices, a refusal, reasoning, usage in every chunk, no usage at all, a "
        "model alias, stops by length and by content filter, an e-mail address, a traceparent.",
        script=calls_script,
        drive=calls_drive,
    ),
    Scenario(
        name="openai-chat-agent",
        about="An agent loop of the openai SDK: two prompts, four rounds of tools, two parallel "
        "tool calls whose deltas alternate, one failed tool.",
        script=agent_script,
        drive=agent_drive,
    ),
    Scenario(
        name="openai-chat-async",
        about="Five concurrent calls of the asynchronous openai client, streamed and not.",
        script=async_script,
        drive=async_drive,
    ),
)
