# SPDX-License-Identifier: Apache-2.0
"""Operations beside chat through the openai SDK, and Ollama through plain requests."""

from __future__ import annotations

from typing import Any

from tests.replay.scenarios.gemini_calls import post
from tests.replay.scenarios.scenario import Json, Scenario, openai_client
from tests.support.llm_answers import (
    Answer,
    Choice,
    Delivery,
    Plain,
    Text,
    Thinking,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, in_order

EMBEDDER = "text-embedding-3-small"
WRITER = "gpt-3.5-turbo-instruct"
LOCAL = "llama3.3:8b"
LAMP = {
    "type": "function",
    "function": {
        "name": "lamp",
        "description": "Switch the lamp.",
        "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}},
    },
}


def vectors(count: int, tokens: int) -> Plain:
    """Return an answer of ``count`` small vectors."""
    data = [
        {"object": "embedding", "index": index, "embedding": "AACAPgAAAL8="}
        for index in range(count)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Plain(body={"object": "list", "data": data, "model": EMBEDDER, "usage": usage})


def operations_script() -> Script:
    """Answers in the order of ``operations_drive``."""
    return in_order(
        [
            vectors(1, 6),
            vectors(3, 14),
            say(" upon a tide.", tokens=Tokens(input=4, output=5)),
            say(" a lighthouse stood dark.", stop="length", tokens=Tokens(input=6, output=9)),
            Plain(body={"id": "modr-1", "model": "omni-moderation-latest", "results": []}),
            Plain(body={"data": []}),
        ]
    )


def operations_drive(url: str) -> None:
    """Embeddings, completions and two operations that are only counted."""
    with openai_client(url) as client:
        client.embeddings.create(model=EMBEDDER, input="A harbour at low water.")
        texts = ["Low water.", "High water.", "Ice."]
        client.embeddings.create(model=EMBEDDER, input=texts, dimensions=256)
        client.completions.create(model=WRITER, prompt="Once", max_tokens=20)
        stream: Any = client.completions.create(
            model=WRITER,
            prompt="On the island",
            max_tokens=9,
            stream=True,
            stream_options={"include_usage": True},
        )
        for _ in stream:
            pass
        client.moderations.create(model="omni-moderation-latest", input="Good morning.")
        client.images.generate(model="gpt-image-2", prompt="A lighthouse.")


def ollama_script() -> Script:
    """Answers in the order of ``ollama_drive``."""
    slow = Delivery(gap_s=0.004, first_token_delay_s=0.05)
    tides = Choice(
        blocks=(
            Thinking(text="Moon and sun pull the water."),
            Text(text="The moon, mostly — and the sun a little."),
        )
    )
    return in_order(
        [
            Answer(choices=(tides,), tokens=Tokens(input=26, output=21), delivery=slow),
            say("Yes.", tokens=Tokens(input=15, output=2)),
            act(
                Text(text="I switch it on."),
                ToolUse(id="", name="lamp", arguments={"on": True}),
                tokens=Tokens(input=70, output=18),
            ),
            say("The lamp is on.", tokens=Tokens(input=95, output=6)),
            say(" the keeper slept.", stop="length", tokens=Tokens(input=8, output=5)),
            say("A night.", tokens=Tokens(input=8, output=3), delivery=Delivery(write_bytes=11)),
            Plain(body={"model": "nomic", "embeddings": [[0.5, 1.0]], "prompt_eval_count": 4}),
        ]
    )


def ollama_drive(url: str) -> None:
    """Chat, a tool loop, completions and an embedding."""

    def ask(content: str, **rest: Json) -> None:
        body = {"model": LOCAL, "messages": [{"role": "user", "content": content}], **rest}
        post(f"{url}/api/chat", body)

    ask("What makes the tides?", think=True, options={"temperature": 0.2, "num_predict": 100})
    ask("Is the moon up?", stream=False)
    messages: list[Json] = [{"role": "user", "content": "Switch the lamp on."}]
    body = {"model": LOCAL, "messages": messages, "tools": [LAMP]}
    post(f"{url}/api/chat", body)
    call = {"function": {"name": "lamp", "arguments": {"on": True}}}
    messages.append({"role": "assistant", "content": "I switch it on.", "tool_calls": [call]})
    messages.append({"role": "tool", "tool_name": "lamp", "content": "on"})
    post(f"{url}/api/chat", body)
    post(f"{url}/api/generate", {"model": LOCAL, "prompt": "All night", "stream": False})
    post(f"{url}/api/generate", {"model": LOCAL, "prompt": "What is dark?"})
    post(f"{url}/api/embed", {"model": "nomic", "input": "A lamp."})


SCENARIOS = (
    Scenario(
        name="openai-operations",
        about="Embeddings and legacy completions of the openai SDK, whole and streamed, and a "
        "moderation and an image, which are no calls of a language model.",
        script=operations_script,
        drive=operations_drive,
    ),
    Scenario(
        name="ollama-calls",
        about="Ollama's own API through plain requests: streamed chat as JSON lines with thinking, "
        "a whole answer, a tool loop without ids, completions streamed and not, an embedding.",
        script=ollama_script,
        drive=ollama_drive,
    ),
)
