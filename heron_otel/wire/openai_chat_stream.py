# SPDX-License-Identifier: Apache-2.0
"""Folds OpenAI Chat replies: a whole body is one event whose choices hold a ``message``."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import Json, ToolCall
from heron_otel.wire.api import Answer, Choice
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.json_text import join_text
from heron_otel.wire.messages import Part
from heron_otel.wire.openai_messages import (
    audio_part,
    content_parts,
    tool_call,
    tool_call_part,
)
from heron_otel.wire.reported_cost import note_costs
from heron_otel.wire.server_facts import USAGE_TIMES
from heron_otel.wire.usage import count, merge_last, openai_usage

MAX_CHOICES = 128
"""Choices kept of one reply; OpenAI takes ``n`` up to 128."""
MAX_TOOL_CALLS = 1024
"""Tool calls kept of one choice; OpenAI takes 128 tools, real replies stay below 100 calls."""

# vLLM makes ids of 32 hexadecimal digits, OpenAI of letters and digits.
_VLLM_ID = re.compile(r"chatcmpl-[0-9a-f]{32}")
_VLLM_ID_CHARS = len("chatcmpl-") + 32
_ORDER = (
    *("service_tier", "system_fingerprint", "provider", "timings", "time_info", "perf_metrics"),
    *("citations", "search_results"),
)
_FOUND = frozenset({"citations", "search_results"})  # in any chunk
SOURCES = "output_sources"
"""Metadata of an answer: how many sources it was written from, where the server searched."""
_METADATA = frozenset(_ORDER)
_RARE = _FOUND | {
    *("error", "x_groq", "prompt_logprobs", "kv_transfer_params", "sglext", "request_id"),
}
_MEMBERS_BESIDE = frozenset(
    {
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "refusal",
        "tool_calls",
        "function_call",
        "audio",
        "annotations",
    }
)


class _Tool(msgspec.Struct):
    """A tool call as it grows."""

    id: Json = None
    name: str = ""
    arguments: list[str] = []
    value: Json = None  # arguments that are no text, as some servers send them
    touched_at_ns: int = 0


class _ChatChoice(msgspec.Struct):
    """A choice as it grows; pieces are joined once, at the end."""

    content: list[str] = []
    extra: list[Part] = []  # content parts that are no text
    reasoning_content: list[str] = []
    reasoning: list[str] = []
    thinking: list[str] = []  # reasoning that comes as content parts
    details: dict[int, Part] = {}  # reasoning of OpenRouter that ``reasoning`` does not repeat
    refusal: list[str] = []
    audio: dict[str, Json] | None = None
    audio_data: list[str] = []
    audio_transcript: list[str] = []
    annotations: list[Json] = []
    tools: dict[int, _Tool] = {}
    aliases: dict[int, int] = {}  # wire index to key in ``tools``
    function: _Tool | None = None
    stop_reason: str | None = None


class ChatFold:
    """Fold of one Chat Completions reply.

    Choices and tool calls are told apart by their ``index``. A tool call without an index, or
    with the index of another call but a new id (both seen behind gateways), is a new call.
    """

    __slots__ = ("_answer", "_choices", "_expects_usage", "_first", "_found", "_last", "_usage")

    def __init__(self, *, expects_usage: bool = False) -> None:
        self._answer = Answer()
        self._choices: dict[int, _ChatChoice] = {}
        self._usage: dict[str, Json] = {}
        self._expects_usage = expects_usage
        self._first: dict[str, Json] | None = None
        self._last: dict[str, Json] | None = None
        self._found: dict[str, Json] = {}

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a chunk or a whole body; return whether it adds content."""
        is_content = False
        get = value.get
        answer = self._answer
        choices = get("choices")
        if isinstance(choices, list):
            answer.understood = True
            for position, choice in enumerate(choices):
                if isinstance(choice, dict) and self._choice(choice, position, at_ns):
                    is_content = True
        elif get("object") == "error":
            self._fail(value)
        if answer.id is None:
            identity = get("id")
            if identity and isinstance(identity, str):
                answer.id = identity
        if answer.model is None:
            model = get("model")
            if model and isinstance(model, str):
                answer.model = model
        usage = get("usage")
        if usage and isinstance(usage, dict):
            merge_last(self._usage, usage)
        if not _RARE.isdisjoint(value):
            self._rare(value)
        if self._first is None:
            self._first = value
        self._last = value
        return is_content

    def _rare(self, value: dict[str, Json]) -> None:
        answer = self._answer
        if "prompt_logprobs" in value or "kv_transfer_params" in value:
            answer.provider = answer.provider or "vllm"
        if "sglext" in value:
            answer.provider = answer.provider or "sglang"
        if not _FOUND.isdisjoint(value):
            merge_last(self._found, {name: value[name] for name in _FOUND if name in value})
        deferred = value.get("request_id")
        if isinstance(deferred, str) and len(value) == 1:
            # xAI: the completion is fetched later, by this id. Errors have it beside a message.
            answer.id = answer.id or deferred
            answer.understood = True
        if value.get("error") is not None:
            self._fail(value)
        groq = value.get("x_groq")
        if isinstance(groq, dict):
            answer.provider = "groq"
            usage = groq.get("usage")
            if isinstance(usage, dict):
                merge_last(self._usage, usage)
            if groq.get("error") is not None:
                self._fail(groq)

    def _fail(self, value: dict[str, Json]) -> None:
        self._answer.error = error_of_value(value) or self._answer.error
        self._answer.understood = True

    def _choice(self, value: dict[str, Json], position: int, at_ns: int) -> bool:
        index = value.get("index")
        if type(index) is not int:
            index = position
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= MAX_CHOICES:
                return False
            choice = self._choices[index] = _ChatChoice()
            self._see_server(value)
        reason = value.get("finish_reason")
        if reason and isinstance(reason, str):
            choice.stop_reason = reason
            self._see_server(value)
        usage = value.get("usage")
        if usage and isinstance(usage, dict):
            merge_last(self._usage, usage)
        # Some servers send the whole text so far as `message` beside each `delta`.
        delta = value.get("delta")
        if delta is None:
            delta = value.get("message")
        return isinstance(delta, dict) and _fold_delta(choice, delta, at_ns)

    def _see_server(self, value: dict[str, Json]) -> None:
        """Note what only one server software or gateway puts into choices."""
        native = value.get("native_finish_reason")
        if isinstance(native, str) and native:
            self._answer.metadata.setdefault("native_finish_reason", native)
        if "matched_stop" in value:
            self._answer.provider = self._answer.provider or "sglang"
        elif "stop_reason" in value:
            self._answer.provider = self._answer.provider or "vllm"

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._answer
        answer.choices = [_close(self._choices[index]) for index in sorted(self._choices)]
        answer.usage = openai_usage(self._usage) if self._usage else None
        # All chunks repeat these members; some have them in the first or the last one only.
        for value in (self._first, self._last, self._found):
            if value is not None and not _METADATA.isdisjoint(value):
                merge_last(answer.metadata, {name: value[name] for name in _ORDER if name in value})
        if not USAGE_TIMES.isdisjoint(self._usage):
            answer.metadata["usage_times"] = {
                name: value for name, value in self._usage.items() if name in USAGE_TIMES
            }
        note_costs(answer.metadata, self._usage)
        sources = _sources(answer.metadata, self._usage)
        if sources is not None:
            answer.metadata[SOURCES] = sources
        is_ollama = answer.metadata.get("system_fingerprint") == "fp_ollama"
        if answer.provider is None and not is_ollama and "prompt_cache_hit_tokens" in self._usage:
            answer.provider = "deepseek"
        end_answer(answer, expects_usage=self._expects_usage)
        return answer


def end_answer(answer: Answer, *, expects_usage: bool) -> None:
    """Set whether ``answer`` is over, and the server where its fingerprint or id shows that."""
    if not answer.done and answer.choices:
        is_finished = all(choice.stop_reason is not None for choice in answer.choices)
        answer.done = is_finished and (answer.usage is not None or not expects_usage)
    answer.usage_is_final = answer.done
    if answer.provider is not None:
        return
    if answer.metadata.get("system_fingerprint") == "fp_ollama":
        answer.provider = "ollama"
    elif answer.id is not None and len(answer.id) == _VLLM_ID_CHARS:
        answer.provider = "vllm" if _VLLM_ID.fullmatch(answer.id) else None


def _sources(metadata: Mapping[str, Json], usage: Mapping[str, Json]) -> int | None:
    """Return how many sources xAI or Perplexity say that they used."""
    told = count(usage.get("num_sources_used"))
    if told is not None:
        return told
    for name in ("search_results", "citations"):
        found = metadata.get(name)
        if isinstance(found, list):
            return len(found)
    return None


def _fold_delta(choice: _ChatChoice, delta: dict[str, Json], at_ns: int) -> bool:
    is_content = False
    content = delta.get("content")
    if content:
        if isinstance(content, str):
            choice.content.append(content)
            is_content = True
        else:
            is_content = _fold_parts(choice, content)
    if _MEMBERS_BESIDE.isdisjoint(delta):
        return is_content
    for name, pieces in (
        ("reasoning_content", choice.reasoning_content),
        ("reasoning", choice.reasoning),
        ("refusal", choice.refusal),
    ):
        value = delta.get(name)
        if value and isinstance(value, str):
            pieces.append(value)
            is_content = True
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        for call in calls:
            if isinstance(call, dict) and _fold_tool(choice, call, at_ns):
                is_content = True
    legacy = delta.get("function_call")
    if isinstance(legacy, dict):
        if choice.function is None:
            choice.function = _Tool()
        is_content = _grow(choice.function, legacy, "arguments", at_ns) or is_content
    audio = delta.get("audio")
    if isinstance(audio, dict):
        is_content = _fold_audio(choice, audio) or is_content
    details = delta.get("reasoning_details")
    if isinstance(details, list):
        is_content = _fold_details(choice, details) or is_content
    annotations = delta.get("annotations")
    if isinstance(annotations, list):
        choice.annotations.extend(annotations)
    return is_content


def _fold_details(choice: _ChatChoice, details: list[Json]) -> bool:
    """Fold ``reasoning_details`` (OpenRouter): what is encrypted, and texts without a copy.

    ``reasoning`` repeats the texts; a text counts here when it came alone.
    """
    is_content = False
    for position, detail in enumerate(details):
        if not isinstance(detail, dict):
            continue
        if detail.get("type") == "reasoning.encrypted":
            index = detail.get("index")
            key = index if type(index) is int else position
            data = detail.get("data")
            if isinstance(data, str) and len(choice.details) < MAX_TOOL_CALLS:
                choice.details[key] = {"type": "encrypted_reasoning", "content": data}
        elif not choice.reasoning:
            text = detail.get("text", detail.get("summary"))
            if isinstance(text, str) and text:
                choice.thinking.append(text)
                is_content = True
    return is_content


def _fold_parts(choice: _ChatChoice, content: Json) -> bool:
    """Fold ``content`` that is a list of parts (Mistral); text joins the text of the choice."""
    is_content = False
    for part in content_parts(content):
        text = part.get("content")
        if part["type"] in ("text", "reasoning") and isinstance(text, str):
            pieces = choice.content if part["type"] == "text" else choice.thinking
            pieces.append(text)
            is_content = is_content or bool(text)
        else:
            choice.extra.append(part)
    return is_content


def _fold_tool(choice: _ChatChoice, call: dict[str, Json], at_ns: int) -> bool:
    tools = choice.tools
    index = call.get("index")
    identity = call.get("id")
    if type(index) is int:
        key = choice.aliases.get(index)
    elif identity or not tools:
        index, key = len(tools), None
    else:
        index = key = len(tools) - 1
    tool = None if key is None else tools[key]
    if tool is not None and identity and tool.id and identity != tool.id:
        tool = None
    if tool is None:
        if len(tools) >= MAX_TOOL_CALLS:
            return False
        choice.aliases[index] = len(tools)
        tool = tools[len(tools)] = _Tool()
    if identity:
        tool.id = identity
    body = call.get("function")
    if isinstance(body, dict):
        return _grow(tool, body, "arguments", at_ns)
    body = call.get("custom")
    if isinstance(body, dict):
        return _grow(tool, body, "input", at_ns)
    return False


def _grow(tool: _Tool, body: dict[str, Json], member: str, at_ns: int) -> bool:
    name = body.get("name")
    if isinstance(name, str) and name:
        tool.name = name
    tool.touched_at_ns = at_ns
    arguments = body.get(member)
    if isinstance(arguments, str):
        if arguments:
            tool.arguments.append(arguments)
            return True
    elif arguments is not None:
        tool.value = arguments
        return True
    return False


def _fold_audio(choice: _ChatChoice, audio: dict[str, Json]) -> bool:
    if choice.audio is None:
        choice.audio = {}
    is_content = False
    for name, value in audio.items():
        if name in ("data", "transcript") and isinstance(value, str):
            (choice.audio_data if name == "data" else choice.audio_transcript).append(value)
            is_content = is_content or bool(value)
        else:
            choice.audio[name] = value
    return is_content


def _close(choice: _ChatChoice) -> Choice:
    parts: list[Part] = []
    written = 0
    reasons: list[str] = []
    for pieces in (choice.reasoning_content, choice.reasoning, choice.thinking):
        if pieces:
            reason, size = join_text(pieces)
            # Servers in transition send the same reasoning under both names.
            if reason and reason not in reasons:
                reasons.append(reason)
                parts.append({"type": "reasoning", "content": reason})
                written += size
    parts.extend(choice.details[key] for key in sorted(choice.details))
    text, size = join_text(choice.content)
    written += size
    if text:
        part: Part = {"type": "text", "content": text}
        if choice.annotations:
            part["annotations"] = choice.annotations
        parts.append(part)
    if choice.extra:
        parts.extend(choice.extra)
    if choice.refusal:
        refusal, size = join_text(choice.refusal)
        written += size
        parts.append({"type": "refusal", "content": refusal})
    if choice.audio is not None:
        transcript, size = join_text(choice.audio_transcript)
        written += size
        whole = {**choice.audio, "data": join_text(choice.audio_data)[0], "transcript": transcript}
        parts.append(audio_part(whole))
    calls: list[ToolCall] = []
    if choice.tools:
        calls = [_call(choice.tools[key]) for key in sorted(choice.tools)]
    if choice.function is not None:
        calls.append(_call(choice.function))
    for call in calls:
        written += call.arguments_bytes
        parts.append(tool_call_part(call))
    return Choice(
        parts=parts,
        text=text,
        tool_calls=calls,
        stop_reason=choice.stop_reason,
        content_bytes=written,
    )


def _call(tool: _Tool) -> ToolCall:
    arguments: Json = join_text(tool.arguments)[0] if tool.value is None else tool.value
    return tool_call(tool.id, tool.name, arguments, tool.touched_at_ns or None)
