# SPDX-License-Identifier: Apache-2.0
"""OpenAI Realtime: what a response is asked with, and the fold of its events.

Items and events are those of Responses with audio beside text. Transcripts stand for what was
spoken; audio is counted and never kept. Source: OpenAI API reference, Realtime (client events,
server events), in its general form and in the beta form of 2024-10-01.
"""

from __future__ import annotations

from collections.abc import Mapping

from heron_otel.records.wire import CallError, Json, LlmRequest
from heron_otel.wire.api import Answer, Members, MergeRules
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.messages import Memory
from heron_otel.wire.openai_responses import OpenAiResponses
from heron_otel.wire.openai_responses_stream import ResponsesFold
from heron_otel.wire.socket_api import AudioSize

_RESPONSES = OpenAiResponses()
# Event types of the beta and of spoken words, by those of Responses that mean the same.
_SAME = {
    "response.text.delta": "response.output_text.delta",
    "response.audio_transcript.delta": "response.output_text.delta",
    "response.output_audio_transcript.delta": "response.output_text.delta",
}
AUDIO_DELTAS = frozenset({"response.audio.delta", "response.output_audio.delta"})
_AUDIO_PARTS = frozenset({"audio", "input_audio", "output_audio"})
_FINISH_REASONS: Mapping[str, str] = {
    **_RESPONSES.finish_reasons,
    # The user spoke, or the client asked for it: how spoken answers often end.
    "turn_detected": "stop",
    "client_cancelled": "stop",
}


class OpenAiRealtime:
    """The wire API ``openai-realtime``; always on a WebSocket."""

    name = "openai-realtime"
    operation = "chat"
    provider = "openai"
    path_suffixes = ("/v1/realtime", "/openai/realtime")
    merging = MergeRules(
        joined=frozenset({"delta"}),
        last=frozenset({"event_id", "item_id", "obfuscation"}),
        exact=frozenset({"output_index", "content_index"}),
        required=b'.delta"',
        excluded=(),
        begin=b'"delta"',
    )
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return False: a request is never the body of a POST."""
        del members
        return False

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; ``members`` have the names of Responses."""
        return _RESPONSES.request(members, path, memory)

    def fold(self, request: LlmRequest) -> RealtimeFold:
        """Return a new fold for the response to ``request``."""
        del request
        return RealtimeFold()


class RealtimeFold(ResponsesFold):
    """Fold of one response of a session."""

    __slots__ = ("_audio",)

    def __init__(self) -> None:
        super().__init__()
        self._audio = AudioSize()

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold one event; return whether it adds content."""
        kind = value.get("type")
        if kind in AUDIO_DELTAS:
            audio = value.get("delta")
            if not isinstance(audio, str) or not audio:
                return False
            self._audio.add(audio)
            self._is_begun = True
            return True
        if isinstance(kind, str):
            value["type"] = _SAME.get(kind, kind)
        item = value.get("item")
        if isinstance(item, dict):
            value["item"] = plain_item(item)
        response = value.get("response")
        if isinstance(response, dict):
            value["response"] = self._plain(response)
        return super().event(value, at_ns)

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = super().answer()
        self._audio.tell(answer)
        return answer

    def _plain(self, response: dict[str, Json]) -> dict[str, Json]:
        """Return a response object with the names of Responses."""
        made = dict(response)
        output = response.get("output")
        if isinstance(output, list):
            made["output"] = [
                plain_item(item) if isinstance(item, dict) else item for item in output
            ]
        details = response.get("status_details")
        if isinstance(details, dict):
            error = details.get("error")
            if isinstance(error, dict):
                self._answer.error = error_of_value({"error": error}) or CallError(type="failed")
            if response.get("status") == "cancelled":
                # An interruption is no failure.
                made["status"] = "incomplete"
            made["incomplete_details"] = {"reason": details.get("reason")}
        return made


def plain_item(item: dict[str, Json]) -> dict[str, Json]:
    """Return a conversation item without audio: spoken words are text."""
    content = item.get("content")
    if not isinstance(content, list):
        return item
    kind = "output_text" if item.get("role") == "assistant" else "input_text"
    return {
        **item,
        "content": [
            _plain_part(part, kind) if isinstance(part, dict) else part for part in content
        ],
    }


def _plain_part(part: dict[str, Json], kind: str) -> dict[str, Json]:
    if part.get("type") not in _AUDIO_PARTS:
        return part
    transcript = part.get("transcript")
    if isinstance(transcript, str) and transcript:
        return {"type": kind, "text": transcript}
    audio = part.get("audio")
    made: dict[str, Json] = {"type": "audio"}
    if isinstance(audio, str):
        made["bytes"] = base64_bytes(audio)
    return made


def base64_bytes(text: str) -> int:
    """Return the bytes that a base64 text stands for."""
    return len(text) * 3 // 4 - text.count("=")
