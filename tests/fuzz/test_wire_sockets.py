# SPDX-License-Identifier: Apache-2.0
"""Any messages on WebSockets of every API: no failure, bounded state, calls announced once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.wire.calls import WireCalls
from heron_otel.wire.socket_api import MAX_WAITING
from tests.support.calls import SOURCE
from tests.support.socket_calls import Talk, calls_of
from tests.support.streams import CLIENT, SERVER

pytestmark = pytest.mark.case(42)

LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
PATHS = (
    "/v1/responses",
    "/v1/realtime?model=m",
    "/v1/realtime?intent=transcription",
    "/v1/realtime/translations?model=m",
    LIVE,
)
ASKED = PATHS[:2]
KINDS = (
    "response.create",
    "response.created",
    "response.done",
    "response.completed",
    "response.output_text.delta",
    "response.output_audio.delta",
    "response.output_item.added",
    "session.created",
    "session.update",
    "conversation.item.create",
    "conversation.item.added",
    "conversation.item.deleted",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.failed",
    "input_audio_buffer.append",
    "input_audio_buffer.committed",
    "session.input_audio_buffer.append",
    "session.output_audio.delta",
    "session.output_transcript.delta",
    "session.closed",
    "error",
)
NAMES = (
    "type",
    "response",
    "response_id",
    "id",
    "item",
    "item_id",
    "session",
    "delta",
    "model",
    "input",
    "content",
    "output",
    "tools",
    "role",
    "audio",
    "transcript",
    "usage",
    "status",
    "status_details",
    "error",
    "event_id",
    "output_index",
    "setup",
    "clientContent",
    "turns",
    "turnComplete",
    "realtimeInput",
    "text",
    "toolResponse",
    "functionResponses",
    "serverContent",
    "modelTurn",
    "parts",
    "inlineData",
    "data",
    "interrupted",
    "inputTranscription",
    "outputTranscription",
    "toolCall",
    "functionCalls",
    "usageMetadata",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "b", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)
EVENTS = st.builds(
    lambda kind, members: json.dumps({"type": kind, **members}).encode(),
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(NAMES[1:]), VALUES, max_size=4),
)


@given(
    path=st.sampled_from(PATHS),
    sent=st.lists(
        st.tuples(
            st.sampled_from([CLIENT, SERVER]), EVENTS | st.sampled_from([b"", b"[]", b"x", b'"y"'])
        ),
        max_size=12,
    ),
)
def test_any_messages_are_taken(path: str, sent: list[tuple[int, bytes]]) -> None:
    wire = WireCalls(SOURCE)
    talk = Talk(path)
    for side, data in sent:
        talk.say(side, data)
    asked = sum(b"response.create" in data for _, data in sent)
    if path in ASKED:  # elsewhere the server begins
        assert len(calls_of(talk.steps, wire)) <= min(asked, MAX_WAITING)
    else:
        calls_of(talk.steps, wire)
