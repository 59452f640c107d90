# SPDX-License-Identifier: Apache-2.0
"""Legacy OpenAI completions: a prompt goes on as text, streamed or not."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import Json, LlmRequest, Message
from heron_otel.wire.api import Answer, Members, MergeRules, text_choice
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.json_text import decode_raw
from heron_otel.wire.messages import Memory, WireMessages, make_message
from heron_otel.wire.parameters import Parameter, deployment_of, read_parameters, text_member
from heron_otel.wire.reported_cost import note_costs
from heron_otel.wire.usage import merge_last, openai_usage

MAX_CHOICES = 1024
"""Choices kept of one reply: ``n`` of each prompt of a batch."""

_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "top_p": Parameter.real("top_p"),
    "top_k": Parameter.integer("top_k"),
    "max_tokens": Parameter.integer("max_tokens"),
    "seed": Parameter.integer("seed"),
    "frequency_penalty": Parameter.real("frequency_penalty"),
    "presence_penalty": Parameter.real("presence_penalty"),
    "stop": Parameter.texts("stop_sequences"),
    "n": Parameter.integer("choice.count"),
}
_OWN_MEMBERS = frozenset({"model", "prompt", "stream"})
_MERGING = MergeRules(
    joined=frozenset({"text"}),
    last=frozenset(),
    exact=frozenset({"index"}),
    required=b'"choices"',
    excluded=(),
    begin=b'"choices"',
)
_FINISH_REASONS: Mapping[str, str] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "eos": "stop",
    "model_length": "length",
    "abort": "error",
    "error": "error",
}


class TextCompletions:
    """The wire API ``openai-completions``.

    Source: OpenAI API reference, Completions (legacy).
    """

    name = "openai-completions"
    operation = "text_completion"
    provider = "openai"
    path_suffixes = ("/completions",)
    merging = _MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has a prompt and no messages."""
        return "prompt" in members and "messages" not in members

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; every prompt of a batch is a message of the user."""
        parameters, metadata = read_parameters(members, _PARAMETERS, _OWN_MEMBERS)
        stream = members.get("stream")
        return LlmRequest(
            model=text_member(members, "model") or deployment_of(path),
            stream=stream is not None and decode_raw(stream) is True,
            messages=prompt_messages(members.get("prompt"), memory),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> CompletionFold:
        """Return a new fold for the response to ``request``."""
        options = request.metadata.get("stream_options")
        wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        return CompletionFold(expects_usage=wants_usage and request.stream)


def prompt_messages(prompt: msgspec.Raw | None, memory: Memory) -> WireMessages:
    """Return the messages of a ``prompt``: a text, texts, tokens, or lists of tokens."""
    if prompt is not None:
        text = bytes(prompt)
        head = text[1:65].lstrip()[:1]
        if text[:1] != b"[" or head.isdigit():
            prompt = msgspec.Raw(b"[" + text + b"]")
    return WireMessages(prompt, "completion-prompt", _normalise_prompt, memory)


def _normalise_prompt(item: Json) -> tuple[Message, ...]:
    if isinstance(item, str):
        return (make_message("user", [{"type": "text", "content": item}]),)
    if isinstance(item, list):
        return (make_message("user", [{"type": "tokens", "content": item}]),)
    return ()


class _Completion(msgspec.Struct):
    """A choice as it grows."""

    texts: list[str] = []
    stop_reason: str | None = None


class CompletionFold:
    """Fold of one reply; choices are told apart by their ``index``."""

    __slots__ = ("_answer", "_choices", "_expects_usage", "_usage")

    def __init__(self, *, expects_usage: bool = False) -> None:
        self._answer = Answer()
        self._choices: dict[int, _Completion] = {}
        self._usage: dict[str, Json] = {}
        self._expects_usage = expects_usage

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a chunk or a whole body; return whether it adds content."""
        answer = self._answer
        is_content = False
        choices = value.get("choices")
        if isinstance(choices, list):
            answer.understood = True
            for position, choice in enumerate(choices):
                if isinstance(choice, dict) and self._choice(choice, position):
                    is_content = True
        failed = error_of_value(value)
        if failed is not None:
            answer.error = failed
            answer.understood = True
        for name in ("id", "model"):
            text = value.get(name)
            if isinstance(text, str) and text and getattr(answer, name) is None:
                setattr(answer, name, text)
        usage = value.get("usage")
        if isinstance(usage, dict):
            merge_last(self._usage, usage)
        fingerprint = value.get("system_fingerprint")
        if fingerprint is not None:
            answer.metadata["system_fingerprint"] = fingerprint
        return is_content

    def _choice(self, value: dict[str, Json], position: int) -> bool:
        index = value.get("index")
        if type(index) is not int:
            index = position
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= MAX_CHOICES:
                return False
            choice = self._choices[index] = _Completion()
        reason = value.get("finish_reason")
        if isinstance(reason, str) and reason:
            choice.stop_reason = reason
        text = value.get("text")
        if text is None:  # Mistral fills in the middle with the answer of a chat
            message = value.get("delta", value.get("message"))
            text = message.get("content") if isinstance(message, dict) else None
        if not isinstance(text, str) or not text:
            return False
        choice.texts.append(text)
        return True

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._answer
        answer.choices = [
            text_choice(choice.texts, choice.stop_reason)
            for _, choice in sorted(self._choices.items())
        ]
        answer.usage = openai_usage(self._usage) if self._usage else None
        note_costs(answer.metadata, self._usage)
        if not answer.done and answer.choices:
            is_finished = all(choice.stop_reason is not None for choice in answer.choices)
            answer.done = is_finished and (answer.usage is not None or not self._expects_usage)
        answer.usage_is_final = answer.done
        return answer
