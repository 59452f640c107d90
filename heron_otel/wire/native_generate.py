# SPDX-License-Identifier: Apache-2.0
"""Native generation APIs of inference servers: llama.cpp, SGLang, Text Generation Inference, vLLM.

They share paths (``/generate``) and differ in the members of their bodies, which tell them apart.

Sources: llama.cpp, tools/server/README.md, "POST /completion" and "POST /infill"; SGLang, "Sampling
Parameters" and "SGLang Native APIs"; Text Generation Inference, docs/openapi.json; vLLM,
vllm/entrypoints/api_server.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from heron_otel.records.wire import CallError, Json, LlmRequest, Usage
from heron_otel.wire.api import Answer, Members, MergeRules
from heron_otel.wire.completions import prompt_messages
from heron_otel.wire.errors import cut_message, error_of_value
from heron_otel.wire.json_text import decode_raw
from heron_otel.wire.messages import Memory
from heron_otel.wire.native_text import (
    GrowingText,
    close_text,
    follow,
    grow,
    repeats_text,
    replace,
)
from heron_otel.wire.parameters import Parameter, read_parameters, text_member
from heron_otel.wire.usage import count

MAX_CHOICES = 1024
"""Answers kept of one reply: one for each prompt of a batch, and ``n`` of each."""

_MERGING = MergeRules(  # events are read one by one: each tells its own text and counts
    joined=frozenset({"content", "text"}),
    last=frozenset(),
    exact=frozenset(),
    required=b"\0",
    excluded=(),
    begin=b"\0",
)
_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "top_p": Parameter.real("top_p"),
    "top_k": Parameter.integer("top_k"),
    "n_predict": Parameter.integer("max_tokens"),
    "max_tokens": Parameter.integer("max_tokens"),
    "max_new_tokens": Parameter.integer("max_tokens"),
    "seed": Parameter.integer("seed"),
    "frequency_penalty": Parameter.real("frequency_penalty"),
    "presence_penalty": Parameter.real("presence_penalty"),
    "stop": Parameter.texts("stop_sequences"),
    "n": Parameter.integer("choice.count"),
    "n_cmpl": Parameter.integer("choice.count"),
}
_FINISH_REASONS: Mapping[str, str] = {
    "stop": "stop",
    "eos": "stop",
    "word": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "limit": "length",
    "abort": "error",
}
# Before ``stop_type`` llama.cpp had a member for each.
_OLD_STOPS = (("stopped_limit", "limit"), ("stopped_word", "word"), ("stopped_eos", "eos"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeGenerate:
    """One native API; a body matches with one of ``needs`` whole and none of ``excluded``."""

    name: str
    provider: str
    path_suffixes: tuple[str, ...]
    prompts: tuple[str, ...]  # members that hold the prompt
    needs: tuple[frozenset[str], ...]
    excluded: frozenset[str] = frozenset({"messages"})
    config: str | None = None  # member that holds the parameters; None: they stand beside
    operation: str = "text_completion"
    merging: MergeRules = _MERGING
    finish_reasons: Mapping[str, str] = field(default_factory=lambda: _FINISH_REASONS)

    def matches(self, members: Members) -> bool:
        """Return whether the body is of this API."""
        names = members.keys()
        return any(need <= names for need in self.needs) and self.excluded.isdisjoint(names)

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; ``input_prefix`` and ``input_suffix`` are in the metadata."""
        own = frozenset((*self.prompts, "model", "stream", self.config or ""))
        parameters, metadata = read_parameters(members, _PARAMETERS, own)
        raw = members.get(self.config) if self.config else None
        config = None if raw is None else decode_raw(raw)
        for name, value in config.items() if isinstance(config, dict) else ():
            known = _PARAMETERS.get(name)
            read = None if known is None else known.read(value)
            if known is not None and read is not None:
                parameters[known.name] = read
            elif value is not None:
                metadata[name] = value
        prompt = next((members[name] for name in self.prompts if name in members), None)
        stream = members.get("stream")
        streams = stream is not None and decode_raw(stream) is True
        return LlmRequest(
            model=text_member(members, "model"),
            stream=streams or path.endswith("_stream"),
            messages=prompt_messages(prompt, memory),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> GenerateFold:
        """Return a new fold for the response to ``request``."""
        # vLLM repeats the prompt before its answer.
        prompt = None
        if self.provider == "vllm" and len(request.messages) == 1:
            for message in request.messages.at(0):
                text = message.parts[0].get("content")
                prompt = text if isinstance(text, str) else None
        return GenerateFold(prompt)


class GenerateFold:
    """Fold of one reply. A value tells its server by its members."""

    __slots__ = ("_answer", "_prompt", "_texts", "_whole")

    def __init__(self, prompt: str | None = None) -> None:
        self._answer = Answer()
        self._prompt = prompt
        self._texts: dict[int, GrowingText] = {}
        self._whole = 0  # answers of a body that is a list

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a body, an item of it or an event; return whether it adds content."""
        answer = self._answer
        error = error_of_value(value)
        if error is not None:
            kind = value.get("error_type")  # Text Generation Inference
            if isinstance(kind, str) and kind:
                error = CallError(type=kind, message=error.message)
            answer.error = error
            answer.understood = True
            return False
        model = value.get("model")
        if isinstance(model, str) and model:
            answer.model = model
        if isinstance(value.get("content"), str) and "stop" in value:
            return self._llama(value)
        if isinstance(value.get("meta_info"), dict):
            return self._sglang(value)
        if "generated_text" in value or "token" in value:
            return self._tgi(value)
        texts = value.get("text")
        if isinstance(texts, list):
            return self._vllm(texts)
        return False

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._answer
        texts = [self._texts[index] for index in sorted(self._texts)]
        answer.choices = [close_text(text) for text in texts]
        known = Usage(
            input_tokens=_sum([text.read for text in texts]),
            output_tokens=_sum([text.written for text in texts]),
            cache_read_tokens=_sum([text.cached for text in texts]),
            reasoning_tokens=_sum([text.reasoning for text in texts]),
        )
        answer.usage = known if known != Usage() else None
        if texts and all(text.stop_reason is not None for text in texts):
            answer.done = True
        answer.usage_is_final = answer.done
        return answer

    def _at(self, index: Json) -> GrowingText | None:
        self._answer.understood = True
        key = index if type(index) is int else 0
        text = self._texts.get(key)
        if text is None and len(self._texts) < MAX_CHOICES:
            text = self._texts[key] = GrowingText()
        return text

    def _llama(self, value: dict[str, Json]) -> bool:
        text = self._at(value.get("index"))
        if text is None:
            return False
        if value["stop"] is True:
            kind = value.get("stop_type")
            old = next((word for name, word in _OLD_STOPS if value.get(name)), None)
            text.stop_reason = kind if isinstance(kind, str) else old
            text.read = count(value.get("tokens_evaluated"))
            text.written = count(value.get("tokens_predicted"))
            timings = value.get("timings")
            if isinstance(timings, dict):
                self._answer.metadata["timings"] = timings
                text.cached = count(timings.get("cache_n"))
        return grow(text, str(value["content"]))

    def _sglang(self, value: dict[str, Json]) -> bool:
        meta = value["meta_info"]
        index = value.get("index")
        reason = meta.get("finish_reason") if isinstance(meta, dict) else None
        if type(index) is not int and self._is_next(reason):
            index = self._whole
        text = self._at(index)
        if text is None or not isinstance(meta, dict):
            return False
        self._answer.id = self._answer.id or _word(meta.get("id"))
        self._answer.metadata["meta_info"] = {
            name: meta[name] for name in ("e2e_latency", "queue_time") if name in meta
        }
        if isinstance(reason, dict):
            text.stop_reason = _word(reason.get("type"))
            if text.stop_reason == "abort":
                self._answer.error = CallError(
                    type=_word(reason.get("err_type")) or "abort",
                    message=cut_message(reason.get("message")),
                )
        before = text.written
        text.read = count(meta.get("prompt_tokens"))
        text.written = count(meta.get("completion_tokens"))
        if text.repeats is None:
            text.repeats = repeats_text(value.get("output_ids"), before, text.written)
        text.cached = count(meta.get("cached_tokens"))
        text.reasoning = count(meta.get("reasoning_tokens"))
        new = value.get("text")
        return isinstance(new, str) and follow(text, new)

    def _is_next(self, reason: Json) -> bool:
        """Return whether an item without an index follows one that has ended: a batch."""
        held = self._texts.get(self._whole)
        if held is not None and held.stop_reason is not None and reason is not None:
            self._whole += 1
        return self._whole > 0

    def _tgi(self, value: dict[str, Json]) -> bool:
        token = value.get("token")
        if token is None and self._texts.get(self._whole) is not None:
            self._whole += 1  # a batch of whole answers
        text = self._at(self._whole)
        if text is None:
            return False
        details = value.get("details")
        if isinstance(details, dict):
            text.stop_reason = _word(details.get("finish_reason"))
            text.written = count(details.get("generated_tokens"))
            text.read = count(details.get("input_length"))
            prefill = details.get("prefill")
            if text.read is None and isinstance(prefill, list) and prefill:
                text.read = len(prefill)
        if isinstance(token, dict):
            piece = token.get("text")
            special = token.get("special") is True
            return isinstance(piece, str) and not special and grow(text, piece)
        whole = value.get("generated_text")
        return isinstance(whole, str) and replace(text, whole)

    def _vllm(self, texts: list[Json]) -> bool:
        is_content = False
        for index, value in enumerate(texts):
            text = self._at(index)
            if text is None or not isinstance(value, str):
                continue
            is_content = replace(text, value.removeprefix(self._prompt or "")) or is_content
        return is_content


def _sum(counts: list[int | None]) -> int | None:
    known = [each for each in counts if each is not None]
    return sum(known) if known else None


def _word(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _sets(*needs: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(need.split()) for need in needs)


NATIVE: tuple[NativeGenerate, ...] = (
    NativeGenerate(
        name="llama-cpp",
        provider="llama.cpp",
        path_suffixes=("/completion", "/infill"),
        prompts=("prompt",),
        needs=_sets("prompt", "input_prefix input_suffix"),
    ),
    # The path of OpenAI's completions; members that only llama.cpp has tell.
    NativeGenerate(
        name="llama-cpp",
        provider="llama.cpp",
        path_suffixes=("/completions",),
        prompts=("prompt",),
        needs=_sets("prompt n_predict", "prompt cache_prompt", "prompt id_slot"),
    ),
    NativeGenerate(
        name="sglang",
        provider="sglang",
        path_suffixes=("/generate",),
        prompts=("text", "input_ids"),
        needs=_sets("text sampling_params", "input_ids"),
        config="sampling_params",
    ),
    NativeGenerate(
        name="tgi",
        provider="tgi",
        path_suffixes=("/generate", "/generate_stream"),
        prompts=("inputs",),
        needs=_sets("inputs"),
        config="parameters",
    ),
    NativeGenerate(
        name="vllm",
        provider="vllm",
        path_suffixes=("/generate",),
        prompts=("prompt",),
        needs=_sets("prompt"),
        excluded=frozenset({"messages", "model", "inputs", "text"}),
    ),
)
