# SPDX-License-Identifier: Apache-2.0
"""Folds Gemini replies: a whole body is one chunk, and a stream is chunks of the same shape."""

from __future__ import annotations

import msgspec

from heron_otel.records.wire import Json, ToolCall
from heron_otel.wire.api import Answer, Choice
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.gemini_arguments import add_partial
from heron_otel.wire.gemini_parts import SIGNATURE, function_call, part_of, pick
from heron_otel.wire.json_text import encode, join_text
from heron_otel.wire.messages import Part
from heron_otel.wire.openai_messages import tool_call_part
from heron_otel.wire.usage import gemini_usage, merge_last

MAX_CANDIDATES = 128
"""Candidates kept of one reply; the API takes a ``candidateCount`` up to 8."""
MAX_PARTS = 4096
"""Parts kept of one candidate, texts joined; long agent replies have tens."""

_METADATA = ("promptFeedback", "traceId")
_CANDIDATE_METADATA = ("groundingMetadata", "urlContextMetadata", "finishMessage")


class _Piece(msgspec.Struct):
    """A part as it grows; the pieces of a text are joined once, at the end."""

    part: Part
    texts: list[str] | None = None  # set for text and reasoning
    call: ToolCall | None = None
    partial: dict[str, Json] | None = None  # arguments of ``call`` that come in pieces


class _Candidate(msgspec.Struct):
    """A candidate as it grows."""

    pieces: list[_Piece] = []
    citations: list[Json] = []
    stop_reason: str | None = None


class GeminiFold:
    """Fold of one ``generateContent`` or ``streamGenerateContent`` reply.

    Candidates are told apart by their ``index``. Neighbouring texts of one kind are one part,
    however the server cut them. Code Assist wraps each value into ``response``.
    """

    __slots__ = ("_answer", "_candidates", "_expected", "_goes_on", "_usage")

    def __init__(self, *, expected: int = 1) -> None:
        self._answer = Answer()
        self._candidates: dict[int, _Candidate] = {}
        self._usage: dict[str, Json] = {}
        self._expected = expected
        self._goes_on = False  # content came after a finish reason

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a chunk or a whole body; return whether it adds content."""
        wrapped = value.get("response")
        if isinstance(wrapped, dict):
            self._note("traceId", value.get("traceId"))
            value = wrapped
        answer = self._answer
        is_content = False
        candidates = value.get("candidates")
        if isinstance(candidates, list):
            answer.understood = True
            for position, candidate in enumerate(candidates):
                if isinstance(candidate, dict) and self._candidate(candidate, position, at_ns):
                    is_content = True
        if value.get("error") is not None:
            answer.error = error_of_value(value) or answer.error
            answer.understood = True
        identity = value.get("responseId")
        if identity and isinstance(identity, str):
            answer.id = answer.id or identity
        model = value.get("modelVersion")
        if model and isinstance(model, str):
            answer.model = answer.model or model
        usage = value.get("usageMetadata")
        if usage and isinstance(usage, dict):
            answer.understood = True
            merge_last(self._usage, usage)
        for name in _METADATA:
            if name in value:
                answer.understood = True
                self._note(name, value[name])
        return is_content

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``, which gateways add."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._answer
        answer.choices = [_close(self._candidates[index]) for index in sorted(self._candidates)]
        answer.usage = gemini_usage(self._usage) if self._usage else None
        self._note("service_tier", self._usage.get("serviceTier"))
        self._note("trafficType", self._usage.get("trafficType"))
        blocked = self._blocked()
        if blocked is not None and not answer.choices:
            answer.choices = [blocked]
            answer.done = True
        elif not answer.done and not self._goes_on:
            finished = sum(choice.stop_reason is not None for choice in answer.choices)
            answer.done = finished == len(answer.choices) >= max(self._expected, 1)
        answer.usage_is_final = answer.done
        return answer

    def _note(self, name: str, value: Json) -> None:
        if value is not None:
            self._answer.metadata[name] = value

    def _blocked(self) -> Choice | None:
        """Return the answer to a prompt that was refused: no content, the reason as its end."""
        feedback = self._answer.metadata.get("promptFeedback")
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if not isinstance(reason, str) or not reason:
            return None
        return Choice(
            parts=[],
            text="",
            tool_calls=[],
            stop_reason=reason,
            finish_reason="content_filter",
            content_bytes=0,
        )

    def _candidate(self, value: dict[str, Json], position: int, at_ns: int) -> bool:
        index = value.get("index")
        if type(index) is not int:
            index = position
        candidate = self._candidates.get(index)
        if candidate is None:
            if len(self._candidates) >= MAX_CANDIDATES:
                return False
            candidate = self._candidates[index] = _Candidate()
        is_content = False
        content = value.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for item in parts if isinstance(parts, list) else ():
            if isinstance(item, dict) and _fold_part(candidate, item, at_ns):
                is_content = True
        if is_content and candidate.stop_reason is not None:
            self._goes_on = True
        reason = value.get("finishReason")
        if reason and isinstance(reason, str):
            candidate.stop_reason = reason
        citation = value.get("citationMetadata")
        if isinstance(citation, dict):
            sources = pick(citation, "citationSources") or citation.get("citations")
            candidate.citations.extend(sources if isinstance(sources, list) else ())
        for name in _CANDIDATE_METADATA:
            if name in value:
                self._note(name, value[name])
        return is_content


def _fold_part(candidate: _Candidate, item: dict[str, Json], at_ns: int) -> bool:
    pieces = candidate.pieces
    last = pieces[-1] if pieces else None
    text = item.get("text")
    if isinstance(text, str):
        kind = "reasoning" if item.get("thought") is True else "text"
        signature = item.get("thoughtSignature")
        if last is None or last.part["type"] != kind or SIGNATURE in last.part:
            if not text and signature is None:
                return False
            last = _Piece(part={"type": kind}, texts=[])
            if not _keep(pieces, last):
                return False
        if text and last.texts is not None:
            last.texts.append(text)
        if signature is not None:
            last.part[SIGNATURE] = signature
        return bool(text)
    body = item.get("functionCall")
    if isinstance(body, dict):
        if last is not None and last.partial is not None and not body.get("name"):
            return _fold_partial(last, body, at_ns)
        call = function_call(body, at_ns or None)
        part = tool_call_part(call)
        if item.get("thoughtSignature") is not None:
            part[SIGNATURE] = item["thoughtSignature"]
        piece = _Piece(part=part, call=call)
        if body.get("willContinue") is True or "partialArgs" in body:
            piece.partial = {}
            _fold_partial(piece, body, at_ns)
        return _keep(pieces, piece)
    return _keep(pieces, _Piece(part=part_of(item)))


def _fold_partial(piece: _Piece, body: dict[str, Json], at_ns: int) -> bool:
    """Fold a piece of the arguments of a call; the last one may be empty."""
    call, arguments = piece.call, piece.partial
    if call is None or arguments is None:
        return False
    is_content = False
    partials = body.get("partialArgs")
    for partial in partials if isinstance(partials, list) else ():
        if isinstance(partial, dict) and add_partial(arguments, partial):
            is_content = True
    piece.call = msgspec.structs.replace(call, completed_at_ns=at_ns or None)
    return is_content


def _whole_call(call: ToolCall, arguments: dict[str, Json]) -> ToolCall:
    size = len(encode(arguments)) if arguments else 0
    return msgspec.structs.replace(call, arguments=arguments, arguments_bytes=size)


def _keep(pieces: list[_Piece], piece: _Piece) -> bool:
    if len(pieces) >= MAX_PARTS:
        return False
    pieces.append(piece)
    return True


def _close(candidate: _Candidate) -> Choice:
    parts: list[Part] = []
    calls: list[ToolCall] = []
    texts: list[str] = []
    written = 0
    cited: Part | None = None
    for piece in candidate.pieces:
        part = piece.part
        if piece.texts is not None:
            text, size = join_text(piece.texts)
            written += size
            # The members of the conventions stand first, as in the history.
            part = {"type": part["type"], "content": text, **part}
            if part["type"] == "text":
                texts.append(text)
                cited = part
        elif piece.call is not None:
            call = piece.call
            if piece.partial is not None:
                call = _whole_call(call, piece.partial)
                part = {**part, "arguments": call.arguments}
            calls.append(call)
            written += call.arguments_bytes
        parts.append(part)
    if cited is not None and candidate.citations:
        cited["citations"] = candidate.citations
    return Choice(
        parts=parts,
        text="".join(texts),
        tool_calls=calls,
        stop_reason=candidate.stop_reason,
        # There is no word for it on the wire: STOP ends a turn and a call of tools alike.
        finish_reason="tool_call" if calls and candidate.stop_reason == "STOP" else None,
        content_bytes=written,
    )
