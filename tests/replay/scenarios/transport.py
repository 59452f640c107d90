# SPDX-License-Identifier: Apache-2.0
"""The same answers over other framings, codings and networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from tests.replay.scenarios.scenario import Json, Scenario, anthropic_client, openai_client
from tests.support.llm_answers import Answer, Delivery, Reply, Text, Tokens, ToolUse, act, say
from tests.support.llm_server import Script, in_order

CODINGS: tuple[Literal["gzip", "br", "zstd", "deflate"], ...] = ("gzip", "br", "zstd", "deflate")
LETTER = say(
    "Dear neighbours, the lift of house 7 is out of order until Thursday. A mechanic from "
    "Żywiec brings the missing gear wheel — naïve hopes of an earlier repair were in vain. "
    "Whoever needs help with shopping may ring at no. 12. 🛗",
    tokens=Tokens(input=140, output=66),
)
BOOKING = act(
    Text(text="I book the mechanic."),
    ToolUse(
        id="toolu_01Mechanic",
        name="book",
        arguments={"who": "mechanic", "day": "Thursday", "note": 'gear wheel "M8" — 2 pcs'},
    ),
    tokens=Tokens(input=150, output=31),
)
PROMPT = "Write the notice for the stairwell."
BOOK: Json = {
    "name": "book",
    "description": "Book somebody.",
    "input_schema": {"type": "object", "properties": {"who": {"type": "string"}}},
}


def with_delivery(answer: Answer, delivery: Delivery) -> Answer:
    """Return ``answer`` sent in another way."""
    return replace(answer, delivery=delivery)


def ask_openai(client: Any, *, stream: bool, prompt: str = PROMPT) -> None:
    """Make one Chat Completions call and read it."""
    messages = [{"role": "user", "content": prompt}]
    options: dict[str, Json] = {}
    if stream:
        options = {"stream": True, "stream_options": {"include_usage": True}}
    reply = client.chat.completions.create(model="gpt-5", messages=messages, **options)
    if stream:
        for _ in reply:
            pass


def ask_anthropic(client: Any, *, stream: bool, prompt: str = PROMPT, **options: Json) -> None:
    """Make one Messages call and read it."""
    messages = [{"role": "user", "content": prompt}]
    request = {"model": "claude-sonnet-5", "max_tokens": 800, "messages": messages, **options}
    if stream:
        with client.messages.stream(**request) as reply:
            reply.get_final_message()
    else:
        client.messages.create(**request)


def coded_script() -> Script:
    """Every content coding, streamed and not, for both APIs."""
    replies: list[Reply] = []
    for coding in CODINGS:
        delivery = Delivery(coding=coding, write_bytes=160)
        replies += [with_delivery(LETTER, delivery)] * 3
        replies.append(with_delivery(BOOKING, delivery))
    return in_order(replies)


def coded_drive(url: str) -> None:
    """Four calls for each coding."""
    with openai_client(url) as chat, anthropic_client(url) as messages:
        for coding in CODINGS:
            prompt = f"{PROMPT} ({coding})"
            ask_openai(chat, stream=True, prompt=prompt)
            ask_openai(chat, stream=False, prompt=prompt)
            ask_anthropic(messages, stream=False, prompt=prompt)
            ask_anthropic(messages, stream=True, prompt=prompt, tools=[BOOK])


FRAMINGS = (
    Delivery(newline="\r\n"),
    Delivery(write_bytes=7),
    Delivery(framing="content-length", gap_s=0.002),
    Delivery(framing="close"),
    Delivery(comments=True, newline="\r\n", write_bytes=33),
    Delivery(event_names="message"),
)
UNNAMED = Delivery(event_names="none")
SLOW = Delivery(head_delay_s=0.01, first_token_delay_s=0.8, gap_s=0.01)


def framing_script() -> Script:
    """Each framing over Chat Completions, then over Messages, then a slow answer of each."""
    chat = [with_delivery(LETTER, delivery) for delivery in FRAMINGS]
    messages = [with_delivery(BOOKING, delivery) for delivery in FRAMINGS[:-1]]
    unnamed = with_delivery(LETTER, UNNAMED)
    slow = with_delivery(LETTER, SLOW)
    return in_order([*chat, *messages, unnamed, slow, slow])


def framing_drive(url: str) -> None:
    """The clients never see the difference, but for unnamed events, which are read raw."""
    with openai_client(url) as client:
        for place in range(len(FRAMINGS)):
            ask_openai(client, stream=True, prompt=f"{PROMPT} Version {place}.")
    with anthropic_client(url) as client:
        for place in range(len(FRAMINGS) - 1):
            ask_anthropic(client, stream=True, prompt=f"Version {place}.", tools=[BOOK])
        raw = client.messages.with_streaming_response
        messages: Any = [{"role": "user", "content": "Send the stream without event names."}]
        with raw.create(
            model="claude-sonnet-5", max_tokens=800, messages=messages, stream=True
        ) as reply:
            for _ in reply.iter_lines():
                pass
        ask_anthropic(client, stream=True, prompt="Think before you write.")
    with openai_client(url) as client:
        ask_openai(client, stream=True, prompt="Think before you write.")


def long_prompt() -> str:
    """Return a prompt of some 90 kB."""
    lines = (
        f"{hour:02d}:{minute:02d} meter {meter} reads {1000 + hour * 60 + minute * meter} kWh"
        for hour in range(24)
        for minute in range(0, 60, 4)
        for meter in range(1, 8)
    )
    return "Find the meter that runs backwards.\n" + "\n".join(lines)


def segments_script() -> Script:
    """Two answers to long prompts."""
    tokens = Tokens(input=31402, output=17)
    answer = say("Meter 4 ran backwards between 13:20 and 13:48.", tokens=tokens)
    return in_order([answer, answer])


def segments_drive(url: str) -> None:
    """One long prompt to each API."""
    with openai_client(url) as client:
        ask_openai(client, stream=True, prompt=long_prompt())
    with anthropic_client(url) as client:
        ask_anthropic(client, stream=True, prompt=long_prompt())


SCENARIOS = (
    Scenario(
        name="content-codings",
        about="Responses in gzip, br, zstd and deflate, flushed after every event and written in "
        "pieces of 160 bytes, streamed and whole, for both APIs.",
        script=coded_script,
        drive=coded_drive,
        file="input.pcapng",
    ),
    Scenario(
        name="stream-framings",
        about="Streams with CRLF, in writes of 7 bytes, with Content-Length, ended by close, with "
        "comments, with event names where there should be none and without where there should "
        "be some, and with a first token 0.8 s after the response head; "
        "in a gzip-compressed capture.",
        script=framing_script,
        drive=framing_drive,
        file="input.pcap.gz",
    ),
    Scenario(
        name="ipv6-segments",
        about="Prompts of 90 kB over IPv6 with an MTU of 1500 bytes and no segmentation offload, "
        "in a zstd-compressed pcapng file with nanosecond times.",
        script=segments_script,
        drive=segments_drive,
        file="input.pcapng.zst",
        address="::1",
        mtu=1500,
        nanoseconds=True,
    ),
)
