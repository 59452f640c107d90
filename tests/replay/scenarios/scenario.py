# SPDX-License-Identifier: Apache-2.0
"""One recorded case, and the agent loops that the cases share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import anthropic
import openai

from tests.support.llm_answers import Delivery
from tests.support.llm_server import Script

Json = Any
RunTool = Callable[[str, dict[str, Json]], "str | ToolFailure"]
OPENAI_KEY = "sk-dummy-not-a-key"
ANTHROPIC_KEY = "sk-ant-dummy-not-a-key"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A case: how the server answers and what the clients do with its URL."""

    name: str
    about: str  # plain sentences for the README of the case
    script: Callable[[], Script]
    drive: Callable[[str], None]
    file: str = "input.pcap"  # its name says the format: .pcap, .pcap.gz, .pcapng, .pcapng.zst
    address: str = "127.0.0.1"
    mtu: int | None = None
    nanoseconds: bool = False
    gateway: bool = False  # the clients reach the server through one: each call crosses twice
    websockets: bool = False  # whether the server takes them
    packages: tuple[str, ...] = ("openai", "anthropic")  # the SDKs that drive it
    programs: tuple[str, ...] = ()  # with versions; they drive it in an environment of their own


@dataclass(frozen=True)
class ToolFailure:
    """A tool result that reports an error."""

    text: str


def tool(name: str, description: str, /, **properties: str) -> dict[str, Json]:
    """Return a neutral tool definition whose parameters are all required strings."""
    return {
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {
                key: {"type": "string", "description": text} for key, text in properties.items()
            },
            "required": list(properties),
        },
    }


def openai_tools(tools: Iterable[dict[str, Json]]) -> Json:
    """Return the tools as Chat Completions wants them."""
    return [{"type": "function", "function": item} for item in tools]


def anthropic_tools(tools: Iterable[dict[str, Json]]) -> Json:
    """Return the tools as Messages wants them."""
    return [
        {
            "name": item["name"],
            "description": item["description"],
            "input_schema": item["parameters"],
        }
        for item in tools
    ]


def openai_client(url: str, **options: Any) -> openai.OpenAI:
    """Return a client of the scripted server."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key=OPENAI_KEY, **options)


def anthropic_client(url: str, **options: Any) -> anthropic.Anthropic:
    """Return a client of the scripted server."""
    return anthropic.Anthropic(base_url=url, api_key=ANTHROPIC_KEY, **options)


def openai_turn(
    client: openai.OpenAI, messages: list[Json], run_tool: RunTool, **request: Any
) -> str:
    """Call until the model answers without tools; extend ``messages``; return the answer."""
    while True:
        with client.chat.completions.stream(messages=messages, **request) as stream:
            message = stream.get_final_completion().choices[0].message
        reply: dict[str, Json] = {"role": "assistant", "content": message.content}
        if not message.tool_calls:
            messages.append(reply)
            return message.content or ""
        reply["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
        messages.append(reply)
        for call in message.tool_calls:
            result = run_tool(call.function.name, json.loads(call.function.arguments))
            text = result.text if isinstance(result, ToolFailure) else result
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})


def anthropic_turn(
    client: anthropic.Anthropic, messages: list[Json], run_tool: RunTool, **request: Any
) -> str:
    """Call until the model answers without tools; extend ``messages``; return the answer."""
    while True:
        with client.messages.stream(messages=messages, **request) as stream:
            message = stream.get_final_message()
        messages.append({"role": "assistant", "content": [plain(part) for part in message.content]})
        if message.stop_reason == "pause_turn":
            continue
        calls = [part for part in message.content if part.type == "tool_use"]
        if not calls:
            return "".join(part.text for part in message.content if part.type == "text")
        results: list[Json] = []
        for call in calls:
            result = run_tool(call.name, call.input)
            failed = isinstance(result, ToolFailure)
            results.append(
                {
                    "type": "tool_result",
                    "tool_use_id": call.id,
                    "content": result.text if isinstance(result, ToolFailure) else result,
                    **({"is_error": True} if failed else {}),
                }
            )
        messages.append({"role": "user", "content": results})


def read_until_hang(stream: Iterable[object], delivery: Delivery) -> None:
    """Read every event that the server sends before it hangs.

    A client that leaves earlier resets the connection while events are on their way, and whether
    those are captured before the reset is chance.
    """
    assert delivery.cut == "hang"
    for _ in islice(stream, delivery.cut_after):
        pass


@contextmanager
def failing(kind: type[Exception] = Exception) -> Iterator[None]:
    """Require that the block raises ``kind``; broken connections have no common class."""
    try:
        yield
    except kind:
        return
    raise AssertionError("the call succeeded and was to fail")


def plain(part: Any) -> Json:
    """Return a response content block as a request member."""
    return part.model_dump(mode="json", exclude_none=True)
