# SPDX-License-Identifier: Apache-2.0
"""Compare spans with the log of the scripted server: what was sent is what must be reported.

The comparison knows the wire formats and the conventions on its own account; it shares no code
with the product.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tests.support.llm_asked import in_chat_words

Json = Any
Span = dict[str, Json]
Entry = dict[str, Json]

FINISH = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "pause_turn",  # the conventions have no word for it
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_call",
    "tool_use": "tool_call",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "completed": "stop",
    "max_output_tokens": "length",
    "failed": "error",
    "cancelled": "error",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "TOOL_CALL": "tool_call",
    "PROHIBITED_CONTENT": "content_filter",
    None: "error",
}
OPERATIONS = {
    "openai-chat": "chat",
    "openai-responses": "chat",
    "anthropic-messages": "chat",
    "gemini": "generate_content",
    "gemini-live": "generate_content",
    "openai-realtime": "chat",
    "openai-completions": "text_completion",
    "bedrock-converse": "chat",
    "bedrock-invoke": "chat",
    "cohere": "chat",
    "mistral-conversations": "chat",
}
# Between a packet and the server's note of it, in logs that were recorded without the bytes.
RECORDED_SLACK_NS = 400_000_000
ROUNDING_NS = 1000  # of times that spans have in seconds


def chat_spans(spans: Iterable[Span]) -> list[Span]:
    """Return the spans of LLM calls in the order of their start."""
    names = {"chat", "generate_content", "text_completion"}
    found = [span for span in spans if span["attributes"].get("gen_ai.operation.name") in names]
    return sorted(found, key=lambda span: span["start_time_unix_nano"])


def llm_entries(log: Iterable[Entry]) -> list[Entry]:
    """Return the log entries of LLM calls in the order of arrival."""
    found = [
        entry | {"request": in_chat_words(entry["wire_api"], entry["path"], entry["request"])}
        for entry in log
        if entry["wire_api"] is not None
    ]
    return sorted(found, key=lambda entry: entry["requested_at_ns"])


def matched(log: Iterable[Entry], spans: Iterable[Span]) -> list[tuple[Entry, Span]]:
    """Pair each logged call with its span: by response id, what has none by port and time.

    Raises AssertionError when there is not one span for each call.
    """
    return _matched(llm_entries(log), spans)


def _matched(entries: Sequence[Entry], spans: Iterable[Span]) -> list[tuple[Entry, Span]]:
    calls = chat_spans(spans)
    assert len(calls) == len(entries), f"{len(calls)} call spans for {len(entries)} calls"
    by_id = {span["attributes"].get("gen_ai.response.id"): span for span in calls}
    pairs: list[tuple[Entry, Span]] = []
    unnamed: list[Entry] = []
    for entry in entries:
        span = by_id.pop(entry["response_id"], None) if entry["response_id"] else None
        if span is None:
            unnamed.append(entry)
        else:
            pairs.append((entry, span))
            calls.remove(span)
    # On one connection after another: clocks of calls at the same time say nothing.
    unnamed.sort(key=lambda entry: (entry["client_port"], entry["requested_at_ns"]))
    calls.sort(key=lambda span: (_client_port(span), span["start_time_unix_nano"]))
    return pairs + list(zip(unnamed, calls, strict=True))


def _client_port(span: Span) -> int:
    port: int = span["attributes"]["client.port"]
    return port


def differences(log: Iterable[Entry], spans: Iterable[Span]) -> list[str]:
    """Return one line for everything that a span says and the server did not, and vice versa."""
    log, spans = llm_entries(log), list(spans)
    found: list[str] = []
    for entry, span in _matched(log, spans):
        for name, expected, actual in _facts(entry, span):
            if expected != actual:
                found.append(
                    f"call {entry['index']} ({entry['path']}): {name}: "
                    f"the server has {expected!r}, the span {actual!r}"
                )
    return found + _tool_differences(log, spans)


def _tool_differences(log: Sequence[Entry], spans: Sequence[Span]) -> list[str]:
    """Compare the tool runs: what responses asked for, and what later requests brought back."""
    asked = Counter(
        (call["id"] or None, call["name"], _normalised(call["arguments"] or "{}"))
        for entry in log
        for choice in entry["choices"][:1]
        for call in choice["tool_calls"]
        if not call["server_side"]
    )
    runs = [span for span in spans if span["name"].startswith("execute_tool ")]
    seen = Counter(
        (
            span["attributes"].get("gen_ai.tool.call.id"),
            span["attributes"]["gen_ai.tool.name"],
            _normalised(span["attributes"]["gen_ai.tool.call.arguments"]),
        )
        for span in runs
    )
    found = [f"tool run: the server has {asked - seen}, the spans {seen - asked}"]
    if asked == seen:
        found.clear()
    brought = [item for entry in log for item in _tool_results(entry["request"])]
    results = dict(brought)
    for span in runs:
        attributes = span["attributes"]
        expected = results.get(attributes.get("gen_ai.tool.call.id"), (None, False))
        failed = attributes.get("error.type") is not None
        if attributes["heron.tool.timing"] == "observed":
            # The MCP answer says how the tool ended; Chat Completions has no mark for that.
            expected = (expected[0], expected[1] or failed)
        actual = (attributes.get("gen_ai.tool.call.result"), failed)
        if isinstance(expected[0], list | dict) and actual[0] is not None:
            actual = (json.loads(actual[0]), failed)
        if "gen_ai.tool.call.id" not in attributes and _is_brought(actual, brought):
            continue
        if expected != actual:
            found.append(f"{span['name']}: the client sent {expected!r}, the span has {actual!r}")
    return found


def _is_brought(actual: tuple[Json, bool], brought: Iterable[tuple[str, Json]]) -> bool:
    """Return whether a client sent this result; it makes up the id of a call that has none."""
    text, failed = actual
    return any(
        failed == result[1]
        and (text == result[0] or (isinstance(text, str) and text == _compact(result[0])))
        for _, result in brought
    )


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _normalised(arguments: str) -> str:
    return json.dumps(json.loads(arguments), sort_keys=True)


def _tool_results(request: Json) -> Iterator[tuple[str, tuple[Json, bool]]]:
    """Yield id, content and whether it is an error, of every tool result in a request."""
    for message in _items(request) if request else []:
        content = message.get("content")
        if message.get("type") == "function_call_output":
            yield message["call_id"], (message["output"], False)
        elif message["role"] == "tool":
            yield message["tool_call_id"], (content, False)
        for part in content if isinstance(content, list) else ():
            if part["type"] == "tool_result":
                yield part["tool_use_id"], (part.get("content"), bool(part.get("is_error")))


def _items(request: Json) -> list[Json]:
    """Return the messages of a request, or the input items; all have a role but for calls."""
    items = request.get("messages", request.get("input", []))
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    return [item if "role" in item else item | {"role": "assistant"} for item in items]


def _facts(entry: Entry, span: Span) -> Iterator[tuple[str, Json, Json]]:
    """Yield (name, what the server did, what the span says)."""
    attributes = span["attributes"]
    request = entry["request"]

    def equal(name: str, expected: Json) -> tuple[str, Json, Json]:
        return name, expected, attributes.get(name)

    operation = OPERATIONS.get(entry["wire_api"])
    if operation is None:
        operation = "chat" if entry["path"].endswith("/api/chat") else "text_completion"
    yield "name", f"{operation} {request['model']}".rstrip(), span["name"]
    yield "kind", "CLIENT", span["kind"]
    yield equal("heron.wire_api", entry["wire_api"])
    yield equal("gen_ai.request.model", request["model"] or None)  # a handshake may name none
    yield equal("gen_ai.request.stream", True if request.get("stream") else None)
    yield equal("gen_ai.response.model", entry["response_model"])
    yield equal("gen_ai.response.id", entry["response_id"])
    yield equal("http.response.status_code", entry["status"])
    yield from _parameters(entry, span)
    yield from _errors(entry, span)
    yield from _usage(entry, span)
    if not entry["half"]:
        yield from _finish(entry, span)
    yield from _output(entry, span)
    yield "input texts", list(_request_texts(request)), list(_span_texts(attributes))
    yield "tools", _tool_names(request), _defined_names(attributes)
    yield from _times(entry, span)


def _parameters(entry: Entry, span: Span) -> Iterator[tuple[str, Json, Json]]:
    request, attributes = entry["request"], span["attributes"]
    for member, suffix in (
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("top_k", "top_k"),
        ("seed", "seed"),
        ("frequency_penalty", "frequency_penalty"),
        ("presence_penalty", "presence_penalty"),
    ):
        yield member, request.get(member), attributes.get(f"gen_ai.request.{suffix}")
    limit = request.get("max_completion_tokens", request.get("max_tokens"))
    limit = request.get("max_output_tokens", limit)
    yield "max_tokens", limit, attributes.get("gen_ai.request.max_tokens")
    count = request.get("n", 1)
    choices = attributes.get("gen_ai.request.choice.count", 1)
    yield "choice.count", count, choices
    stops = request.get("stop_sequences", request.get("stop"))
    yield "stop_sequences", stops, attributes.get("gen_ai.request.stop_sequences")
    form = request.get("response_format") or request.get("output_config", {}).get("format") or {}
    form = form or request.get("text", {}).get("format") or {}
    asked = "json" if form.get("type", "").startswith("json") else None
    if "output_modalities" in request:
        asked = "speech" if request["output_modalities"] == ["audio"] else None
    effort = request.get("reasoning_effort", request.get("output_config", {}).get("effort"))
    effort = request.get("reasoning", {}).get("effort", effort)
    previous = request.get("previous_response_id")
    yield "previous response", previous, attributes.get("gen_ai.request.previous_response.id")
    yield "reasoning.level", effort, attributes.get("gen_ai.request.reasoning.level")
    tier = request.get("service_tier")
    yield "service_tier", tier, attributes.get("openai.request.service_tier")
    caller = entry["fields"].get("traceparent", "").split("-")[1:2]
    links = [link["trace_id"] for link in span["links"] if _is_of(link, "traceparent")]
    yield "traceparent", caller, links
    yield "output.type", asked, attributes.get("gen_ai.output.type")


def _is_of(link: Json, kind: str) -> bool:
    return bool(link["attributes"].get("heron.link.type") == kind)


def _errors(entry: Entry, span: Span) -> Iterator[tuple[str, Json, Json]]:
    actual = span["attributes"].get("error.type")
    if entry["error"] is not None:
        yield "error.type", entry["error"]["type"], actual
        yield "status.message", entry["error"]["message"], span["status"]["message"]
    elif entry["ended"]:
        yield "error.type", None, actual
    else:
        allowed = _cut_errors(entry)
        yield f"error.type in {allowed}", True, actual in allowed
    failed = entry["error"] is not None or not entry["ended"]
    yield "status.code", "ERROR" if failed else "UNSET", span["status"]["code"]


def _cut_errors(entry: Entry) -> tuple[str, ...]:
    """Return what a call that ended early is called: it depends on who closed, and how."""
    match entry["outcome"]:
        case "cut_rst":
            return ("connection_reset",)
        case "cut_fin":
            return ("stream_interrupted",)
        case "client_closed":
            return ("cancelled",)
    return ("stream_interrupted", "connection_reset")


def _usage(entry: Entry, span: Span) -> Iterator[tuple[str, Json, Json]]:
    attributes = span["attributes"]

    def usage(name: str) -> Json:
        return attributes.get(f"gen_ai.usage.{name}")

    tokens, api = entry["tokens"], entry["wire_api"]
    estimated = attributes.get("heron.usage.estimated")
    if tokens is None:
        if entry["ended"]:
            yield "usage.estimated", True, estimated
            yield "usage.output_tokens > 0", True, (usage("output_tokens") or 0) > 0
        return
    yield "usage.input_tokens", tokens["input"], usage("input_tokens")
    if api != "ollama":  # it counts neither
        # Gemini leaves out counts of zero.
        given = (usage("cache_read.input_tokens"), usage("reasoning.output_tokens"))
        read, reasoning = (count or 0 for count in given) if api.startswith("gemini") else given
        yield "usage.cache_read", tokens["cache_read"], read
        if api != "anthropic-messages":
            yield "usage.reasoning", tokens["reasoning"], reasoning
    if api == "anthropic-messages":
        yield "usage.cache_write", tokens["cache_write"], usage("cache_write.input_tokens")
    if entry["ended"]:
        yield "usage.output_tokens", tokens["output"], usage("output_tokens")
        yield "usage.estimated", False, estimated


def _finish(entry: Entry, span: Span) -> Iterator[tuple[str, Json, Json]]:
    attributes = span["attributes"]
    stops = [choice["stop_reason"] for choice in entry["choices"]]
    if entry["events"] == 0:
        yield "finish_reasons", None, attributes.get("gen_ai.response.finish_reasons")
        return
    expected = [FINISH[stop] for stop in stops]
    if entry["wire_api"] == "mistral-conversations" and entry["ended"]:
        # It has no word at all.
        called = any(not call["server_side"] for call in entry["choices"][0]["tool_calls"])
        expected = ["tool_call" if called else "stop"]
    if stops == ["completed"] and any(
        not call["server_side"] for call in entry["choices"][0]["tool_calls"]
    ):
        expected = ["tool_call"]  # this API has no word for it
    if entry["wire_api"] in ("gemini", "gemini-live", "ollama") and any(
        choice["tool_calls"] for choice in entry["choices"]
    ):
        expected = ["tool_call"]  # their word is that of an answer
    yield "finish_reasons", expected, attributes.get("gen_ai.response.finish_reasons")
    first = next((stop for stop in stops if stop), None)
    yield "stop_reason", first, attributes.get("heron.response.stop_reason")


def _output(entry: Entry, span: Span) -> Iterator[tuple[str, Json, Json]]:
    messages = json.loads(span["attributes"].get("gen_ai.output.messages", "[]"))
    for index, choice in enumerate(entry["choices"]):
        parts = messages[index]["parts"] if index < len(messages) else []
        of_type: dict[str, list[Json]] = {}
        for part in parts:
            of_type.setdefault(part["type"], []).append(part)
        where = f"choice {index} "
        text = _joined(of_type.get("text", []))
        if entry["half"]:
            yield where + "text begins as sent", True, bool(choice["text"].startswith(text))
            continue
        yield where + "text", choice["text"], text
        yield where + "reasoning", choice["reasoning"], _joined(of_type.get("reasoning", []))
        yield where + "refusal", choice["refusal"], _joined(of_type.get("refusal", []))
        calls = [
            (call["id"] or None, call["name"], json.loads(call["arguments"] or "{}"))
            for call in choice["tool_calls"]
            if not call["server_side"]
        ]
        found = [
            (part.get("id"), part["name"], part.get("arguments"))
            for part in of_type.get("tool_call", [])
        ]
        yield where + "tool calls", calls, found
        server = [call["id"] for call in choice["tool_calls"] if call["server_side"]]
        found_server = [part.get("id") for part in of_type.get("server_tool_call", [])]
        yield where + "server tool calls", server, found_server


def _joined(parts: Iterable[Json]) -> str:
    return "".join(part.get("content", "") for part in parts)


def _request_texts(request: Json) -> Iterator[str]:
    """Yield every text of the messages of a request, tool results included, in order."""
    if isinstance(request.get("instructions"), str):
        yield request["instructions"]
    for message in _items(request):
        for part in message.get("summary", ()):
            yield part["text"]
        yield from _content_texts(message.get("content"))
        yield from _content_texts(message.get("output"))


def _content_texts(content: Json) -> Iterator[str]:
    if isinstance(content, str):
        if content:
            yield content
        return
    if isinstance(content, dict):  # the object that a function gave
        return
    for part in content or ():
        match part["type"]:
            case "text" | "input_text" | "output_text":
                yield part["text"]
            case "thinking":
                yield part["thinking"]
            case "tool_result":
                yield from _content_texts(part.get("content"))


def _span_texts(attributes: Json) -> Iterator[str]:
    if attributes["heron.wire_api"] in ("openai-responses", "openai-realtime"):
        for part in json.loads(attributes.get("gen_ai.system_instructions", "[]")):
            yield part["content"]
    for message in json.loads(attributes.get("gen_ai.input.messages", "[]")):
        for part in message["parts"]:
            match part["type"]:
                case "text" | "reasoning":
                    if part["content"]:
                        yield part["content"]
                case "tool_call_response":
                    yield from _content_texts(part["response"])


def _tool_names(request: Json) -> list[str]:
    tools = request.get("tools") or []
    named = [tool.get("function", tool) for tool in tools]
    return [tool.get("name", tool.get("type")) for tool in named]


def _defined_names(attributes: Json) -> list[str]:
    tools = json.loads(attributes.get("gen_ai.tool.definitions", "[]"))
    return [tool.get("name", tool["type"]) for tool in tools]


def _times(entry: Entry, span: Span) -> Iterator[tuple[str, Json, Json]]:
    start, end = span["start_time_unix_nano"], span["end_time_unix_nano"]
    moments = entry.get("moments") or {
        "start": _around(entry["requested_at_ns"]),
        "end": _around(entry["finished_at_ns"]),
        "first token": _around(entry["first_token_at_ns"]),
    }
    yield "start", 0, _outside(start, moments["start"])
    if entry["ended"]:
        yield "end", 0, _outside(end, moments["end"])
    first_token = entry["first_token_at_ns"]
    if entry["wire_api"] == "gemini" and "alt=sse" not in entry["path"]:
        first_token = None  # nothing in a JSON array says when its values were there
    seconds = span["attributes"].get("gen_ai.response.time_to_first_chunk")
    if first_token is None or seconds is None:
        yield "has a first token", first_token is not None, seconds is not None
        return
    yield "first token", 0, _outside(start + round(seconds * 1e9), moments["first token"])


def _around(noted_ns: int | None) -> tuple[int, int] | None:
    """Return earliest and latest time of a packet, by what the server noted."""
    if noted_ns is None:
        return None
    return noted_ns - RECORDED_SLACK_NS, noted_ns + RECORDED_SLACK_NS


def _outside(seen_ns: int, within_ns: tuple[int, int] | None) -> int | None:
    """Return by how many ns a time is before or behind a range; None without one."""
    if within_ns is None:
        return None
    early, late = within_ns[0] - seen_ns, seen_ns - within_ns[1]
    return -early if early > ROUNDING_NS else late if late > ROUNDING_NS else 0


def children(spans: Sequence[Span], parent: Span) -> list[Span]:
    """Return the spans directly under ``parent`` in the order of their start."""
    found = [
        span
        for span in spans
        if span["parent_span_id"] == parent["span_id"] and span["trace_id"] == parent["trace_id"]
    ]
    return sorted(found, key=lambda span: (span["start_time_unix_nano"], span["span_id"]))


def turns(spans: Iterable[Span]) -> list[Span]:
    """Return the root spans of agent turns in the order of their start."""
    found = [
        span
        for span in spans
        if not span["parent_span_id"]
        and span["attributes"].get("gen_ai.operation.name") == "invoke_agent"
    ]
    return sorted(found, key=lambda span: span["start_time_unix_nano"])
