# SPDX-License-Identifier: Apache-2.0
"""CPU time of ``wire/`` for each call, on exchanges as the native core gives them.

Run ``python benchmarks/bench_wire.py``; prints microseconds per call. ``small`` is a 2 KB
request with a whole body or 8 events, ``agent`` a 36 KB request with a growing history and 400
events in about ten runs. The history is not read, as in the stage itself; ``+ history`` reads
all messages of a call, most of which earlier calls of the session brought.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from heron_otel.records.http import HttpExchange
from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from tests.support.exchanges import Event, events_of, make_exchange, named_events_of

ROUNDS = 200


def _chunk(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
    return {
        "id": "chatcmpl-BxQ2fYv0n1tT8b3hJ7cLw9zK4mP6s",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_34a54ae93c",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
    }


def _small_request(stream: bool) -> dict[str, object]:
    return {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You answer in one sentence. " * 20},
            {"role": "user", "content": "What does this line of code do? " * 40},
        ],
        "temperature": 0.2,
        "max_tokens": 256,
        "stream": stream,
    }


def small_stream() -> HttpExchange:
    """A short streamed reply: 8 events."""
    payloads: list[object] = [_chunk({"role": "assistant", "content": ""})]
    payloads += [_chunk({"content": f" word{index}"}) for index in range(5)]
    payloads += [_chunk({}, "stop"), "[DONE]"]
    return make_exchange(_small_request(True), events=events_of(payloads), merge=True)


def small_body() -> HttpExchange:
    """A short reply in one body."""
    reply = {
        "id": "chatcmpl-BxQ2fYv0n1tT8b3hJ7cLw9zK4mP6s",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It adds two numbers. " * 60},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 310,
            "completion_tokens": 240,
            "total_tokens": 550,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }
    return make_exchange(_small_request(False), reply)


def _history(turns: int, anthropic: bool) -> list[dict[str, object]]:
    items: list[dict[str, object]] = [{"role": "user", "content": "Fix the failing test. " * 30}]
    for turn in range(turns):
        arguments = {"path": f"/src/module_{turn}.py", "limit": 200}
        output = f"line of file {turn}: value = compute({turn})\n" * 22
        if anthropic:
            use = {"type": "tool_use", "id": f"toolu_{turn}", "name": "Read", "input": arguments}
            text = {"type": "text", "text": f"Step {turn}: I read the next file."}
            result = {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": output}
            items.append({"role": "assistant", "content": [text, use]})
            items.append({"role": "user", "content": [result]})
        else:
            call = {
                "id": f"call_{turn}",
                "type": "function",
                "function": {"name": "Read", "arguments": json.dumps(arguments)},
            }
            items.append({"role": "assistant", "content": None, "tool_calls": [call]})
            items.append({"role": "tool", "tool_call_id": f"call_{turn}", "content": output})
    return items


def _tools(anthropic: bool) -> list[dict[str, object]]:
    tools: list[dict[str, object]] = []
    for index in range(12):
        schema = {"type": "object", "properties": {"path": {"type": "string"}}}
        body = {"name": f"tool_{index}", "description": "Reads a part of a file. " * 14}
        if anthropic:
            tools.append({**body, "input_schema": schema})
        else:
            tools.append({"type": "function", "function": {**body, "parameters": schema}})
    return tools


def agent_chat(turn: int) -> HttpExchange:
    """Call number ``turn`` of an agent over OpenAI Chat: text, then two tool calls."""
    request = {
        "model": "gpt-4o",
        "messages": _history(turn, False),
        "tools": _tools(False),
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
    }
    payloads: list[object] = [_chunk({"role": "assistant", "content": ""})]
    payloads += [_chunk({"content": f" word {index}"}) for index in range(300)]
    for tool in range(2):
        start = {"index": tool, "id": f"call_x{tool}", "type": "function"}
        start["function"] = {"name": "Read", "arguments": ""}
        payloads.append(_chunk({"tool_calls": [start]}))
        payloads += [
            _chunk({"tool_calls": [{"index": tool, "function": {"arguments": piece}}]})
            for piece in ["{", '"path":"', *(f"dir{n}/" for n in range(42)), 'f.py"', "}"]
        ]
    payloads.append(_chunk({}, "tool_calls"))
    usage = {"prompt_tokens": 9000, "completion_tokens": 400, "total_tokens": 9400}
    payloads += [{**_chunk({}), "choices": [], "usage": usage}, "[DONE]"]
    return make_exchange(request, events=events_of(payloads), merge=True)


def agent_anthropic(turn: int) -> HttpExchange:
    """Call number ``turn`` of an agent over Anthropic Messages: text, then two tool uses."""
    request = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "You are a coding agent. " * 60}],
        "messages": _history(turn, True),
        "tools": _tools(True),
        "stream": True,
        "metadata": {"user_id": "user_1"},
    }
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 12, "cache_read_input_tokens": 9000, "output_tokens": 1},
    }
    payloads: list[dict[str, object]] = [{"type": "message_start", "message": message}]
    blocks: list[tuple[dict[str, object], str, list[str]]] = [
        ({"type": "text", "text": ""}, "text", [f" word {index}" for index in range(290)])
    ]
    for tool in range(2):
        use = {"type": "tool_use", "id": f"toolu_x{tool}", "name": "Read", "input": {}}
        pieces = ['{"path":"', *(f"dir{n}/" for n in range(42)), 'f.py"', "}"]
        blocks.append((use, "partial_json", pieces))
    for index, (start, member, pieces) in enumerate(blocks):
        kind = "text_delta" if member == "text" else "input_json_delta"
        payloads.append({"type": "content_block_start", "index": index, "content_block": start})
        for piece in pieces:
            delta = {"type": kind, member: piece}
            payloads.append({"type": "content_block_delta", "index": index, "delta": delta})
        payloads.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": "tool_use", "stop_sequence": None}
    payloads += [
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 400}},
        {"type": "message_stop"},
    ]
    events: list[Event] = named_events_of(payloads)
    return make_exchange(
        request,
        events=events,
        path="/v1/messages?beta=true",
        host="api.anthropic.com",
        fields={"anthropic-version": "2023-06-01"},
        merge=True,
    )


def agent_responses(turn: int) -> HttpExchange:
    """Call number ``turn`` of an agent over OpenAI Responses: text, then two function calls.

    The response objects repeat instructions and tools, as OpenAI's do.
    """
    tools = [{**_body(tool), "type": "function", "strict": False} for tool in _tools(False)]
    items: list[dict[str, object]] = []
    for item in _history(turn, False):
        for call in _calls(item):
            items.append({**_body(call), "type": "function_call", "call_id": call["id"]})
        if item["role"] == "tool":
            result = {"call_id": item["tool_call_id"], "output": item["content"]}
            items.append({"type": "function_call_output", **result})
        elif item["role"] == "user":
            items.append({"type": "message", "role": "user", "content": item["content"]})
    request: dict[str, object] = {
        "model": "gpt-5",
        "instructions": "You are a coding agent. " * 60,
        "input": items,
        "tools": tools,
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "high"},
        "prompt_cache_key": "019a0000-1111-7222-8333-444444444444",
    }
    whole: dict[str, object] = {
        "id": "resp_0123456789abcdef0123456789abcdef0123456789abcdef",
        "object": "response",
        "status": "in_progress",
        "instructions": request["instructions"],
        "model": "gpt-5",
        "output": [],
        "tools": tools,
        "usage": None,
    }
    payloads: list[dict[str, object]] = [
        {"type": "response.created", "response": whole},
        {"type": "response.in_progress", "response": whole},
    ]
    words = [f" word {index}" for index in range(300)]
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(words)}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
    output: list[dict[str, object]] = [message]
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    payloads += [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": message | {"content": []},
        },
        {"type": "response.content_part.added", **where, "part": part | {"text": ""}},
    ]
    for index, word in enumerate(words):
        delta = {**where, "delta": word, "logprobs": [], "obfuscation": "x" * (1 + index % 12)}
        payloads.append({"type": "response.output_text.delta", **delta})
    payloads += [
        {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
    ]
    for tool in (1, 2):
        pieces = ["{", '"path":"', *(f"dir{number}/" for number in range(42)), 'f.py"', "}"]
        call = {"id": f"fc_{tool}", "type": "function_call", "call_id": f"call_x{tool}"}
        call |= {"name": "Read", "arguments": "".join(pieces)}
        place = {"item_id": f"fc_{tool}", "output_index": tool}
        start = {"output_index": tool, "item": call | {"arguments": ""}}
        payloads.append({"type": "response.output_item.added", **start})
        kind = "response.function_call_arguments"
        payloads += [{"type": f"{kind}.delta", **place, "delta": piece} for piece in pieces]
        payloads.append({"type": f"{kind}.done", **place, "arguments": call["arguments"]})
        payloads.append({"type": "response.output_item.done", "output_index": tool, "item": call})
        output.append(call)
    usage = {"input_tokens": 9000, "input_tokens_details": {"cached_tokens": 8000}}
    usage |= {"output_tokens": 400, "output_tokens_details": {"reasoning_tokens": 0}}
    done = whole | {"status": "completed", "output": output, "usage": usage}
    payloads.append({"type": "response.completed", "response": done})
    numbered = [
        {"type": payload["type"], "sequence_number": number, **payload}
        for number, payload in enumerate(payloads)
    ]
    events = named_events_of(numbered)
    return make_exchange(request, events=events, path="/v1/responses", merge=True)


def _body(tool: dict[str, object]) -> dict[str, object]:
    body = tool["function"]
    assert isinstance(body, dict)
    return body


def _calls(item: dict[str, object]) -> list[dict[str, object]]:
    calls = item.get("tool_calls")
    return calls if isinstance(calls, list) else []


def agent_gemini(turn: int) -> HttpExchange:
    """Call number ``turn`` of an agent over Gemini: text, then two function calls."""
    contents: list[dict[str, object]] = [
        {"role": "user", "parts": [{"text": "Fix the failing test. " * 30}]}
    ]
    for past in range(turn):
        call = {"name": "Read", "args": {"path": f"/src/module_{past}.py", "limit": 200}}
        output = f"line of file {past}: value = compute({past})\n" * 22
        result = {"name": "Read", "response": {"output": output}}
        parts = [{"text": f"Step {past}: I read the next file."}, {"functionCall": call}]
        contents.append({"role": "model", "parts": parts})
        contents.append({"role": "user", "parts": [{"functionResponse": result}]})
    declarations = [
        {"name": body["name"], "description": body["description"], "parameters": {}}
        for body in _tools(True)
    ]
    request = {
        "contents": contents,
        "systemInstruction": {"parts": [{"text": "You are a coding agent. " * 60}]},
        "tools": [{"functionDeclarations": declarations}],
        "generationConfig": {"temperature": 0},
    }

    def chunk(part: dict[str, object], tokens: int, finish: str | None = None) -> dict[str, object]:
        candidate: dict[str, object] = {"content": {"parts": [part], "role": "model"}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = finish
        counts = {"promptTokenCount": 9000, "candidatesTokenCount": tokens}
        return {
            "candidates": [candidate],
            "usageMetadata": {**counts, "totalTokenCount": 9000 + tokens},
            "modelVersion": "gemini-3-flash",
            "responseId": "pXkhaZ2hBq3Ovr0P7-GZ6AM",
        }

    payloads = [chunk({"text": f" word {index}"}, index + 1) for index in range(398)]
    call = {"functionCall": {"name": "Read", "args": {"path": "dir/f.py"}}}
    payloads += [chunk(call, 399), chunk(call, 400, "STOP")]
    return make_exchange(
        request,
        events=events_of(payloads),
        path="/v1beta/models/gemini-3-flash:streamGenerateContent?alt=sse",
        host="generativelanguage.googleapis.com",
        merge=True,
    )


def ollama_stream() -> HttpExchange:
    """A reply of Ollama: 400 lines."""

    def line(index: int, text: str, **rest: object) -> dict[str, object]:
        return {
            "model": "llama3.3",
            "created_at": f"2026-11-22T10:00:{index // 10:02d}.{index:06d}Z",
            "message": {"role": "assistant", "content": text},
            "done": False,
            **rest,
        }

    payloads = [line(index, f" word {index}") for index in range(399)]
    payloads.append(line(399, "", done=True, prompt_eval_count=310, eval_count=399))
    request = {**_small_request(True), "options": {"temperature": 0}}
    return make_exchange(request, events=events_of(payloads), path="/api/chat", merge=True)


def embedding_body() -> HttpExchange:
    """16 texts, 16 vectors of 1536 numbers in base64."""
    request = {"model": "text-embedding-3-small", "input": ["A line of a file. " * 20] * 16}
    data = [
        {"object": "embedding", "index": index, "embedding": "AACAPwAA" * 1024}
        for index in range(16)
    ]
    usage = {"prompt_tokens": 1600, "total_tokens": 1600}
    reply = {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
    return make_exchange(request, reply, path="/v1/embeddings")


def measure(exchanges: list[HttpExchange], after: Callable[[LlmCall], None] | None = None) -> float:
    """Return the best CPU time of a call in microseconds, over ``ROUNDS`` short passes.

    Short passes, because other load on the machine disturbs long ones.
    """
    best = float("inf")
    wire = WireCalls("bench")
    repeats = max(1, 50 // len(exchanges))
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(repeats):
            for exchange in exchanges:
                for record in wire.feed(exchange):
                    assert isinstance(record, LlmCall)
                    if after is not None:
                        after(record)
        best = min(best, time.process_time() - before)
    return best / (repeats * len(exchanges)) * 1e6


def read_history(call: LlmCall) -> None:
    """Normalise every message of the request."""
    for _ in call.request.messages:
        pass


def main() -> None:
    """Print the table."""
    chat = [agent_chat(turn) for turn in range(24, 34)]
    anthropic = [agent_anthropic(turn) for turn in range(24, 34)]
    responses = [agent_responses(turn) for turn in range(24, 34)]
    gemini = [agent_gemini(turn) for turn in range(24, 34)]
    request = chat[0].request
    response = chat[0].response
    assert request is not None
    assert response is not None
    print(
        f"agent: request {request.content_bytes} B, {sum(run.count for run in response.runs)} "
        f"events in {len(response.runs)} runs"
    )
    rows = [
        ("small, body", measure([small_body()])),
        ("small, 8 events", measure([small_stream()])),
        ("agent, openai-chat", measure(chat)),
        ("agent, anthropic-messages", measure(anthropic)),
        ("agent, openai-responses", measure(responses)),
        ("agent, gemini", measure(gemini)),
        ("ollama, 400 lines", measure([ollama_stream()])),
        ("embeddings, 16 vectors", measure([embedding_body()])),
        ("agent, openai-chat + history", measure(chat, read_history)),
        ("agent, anthropic-messages + history", measure(anthropic, read_history)),
        ("agent, openai-responses + history", measure(responses, read_history)),
        ("agent, gemini + history", measure(gemini, read_history)),
    ]
    for name, value in rows:
        print(f"{name:38s} {value:8.1f} us/call")


if __name__ == "__main__":
    main()
