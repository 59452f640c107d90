# SPDX-License-Identifier: Apache-2.0
"""Sessions of a program on LiteLLM, for ``test_litellm.py``: run as ``... URL SESSION...``.

It runs in an environment of its own, with the pinned version of the library.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm

FIRST = "How deep and how wide is the lake of Kaali?"
SECOND = "And how old is it?"
OPENAI = {"model": "openai/gpt-5-mini", "api_key": "sk-dummy-not-a-key"}
ANTHROPIC = {"model": "anthropic/claude-sonnet-4-5", "api_key": "sk-ant-dummy-not-a-key"}
RETRIES = 2


def offered(name: str, description: str) -> dict[str, Any]:
    """Return a tool with one argument."""
    lake = {"type": "string", "description": "Name of the lake."}
    parameters = {"type": "object", "properties": {"lake": lake}, "required": ["lake"]}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [offered("depth", "Depth of a lake."), offered("width", "Width of a lake.")]
MEASURES = {"depth": "6 m", "width": "60 m"}


def answer(messages: list[Any], *, streamed: bool, **request: Any) -> None:
    """Call until the model answers without tools; extend ``messages``."""
    while True:
        reply = litellm.completion(
            messages=messages, tools=TOOLS, stream=streamed, num_retries=RETRIES, **request
        )
        if streamed:
            reply = litellm.stream_chunk_builder(list(reply), messages=messages)
        message = reply.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return
        for call in message.tool_calls:
            lake = json.loads(call.function.arguments)["lake"]
            content = f"{lake}: {MEASURES[call.function.name]}"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})


def run(url: str, session: str) -> None:
    """Run one session of two prompts."""
    streamed, wire_api = session.split("-")
    request: dict[str, Any] = dict(OPENAI, api_base=f"{url}/v1")
    if wire_api == "anthropic":
        request = dict(ANTHROPIC, api_base=url)
    if wire_api == "fallback":
        request["fallbacks"] = [dict(ANTHROPIC, api_base=url)]
    messages: list[Any] = [{"role": "system", "content": f"You know lakes ({session})."}]
    for prompt in (FIRST, SECOND):
        messages.append({"role": "user", "content": prompt})
        answer(messages, streamed=streamed == "streamed", **request)


def main(url: str, *sessions: str) -> None:
    """Run the sessions one after another."""
    for session in sessions:
        run(url, session)


main(*sys.argv[1:])
