# SPDX-License-Identifier: Apache-2.0
"""Operations beside generation: each its own, never chat; sizes and counts, no content."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.http import BodyFlag, HttpExchange
from heron_otel.records.wire import LlmCall, Usage
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.json_text import decode_raw
from heron_otel.wire.multipart import boundary_of, form_members
from tests.support.calls import MESSAGES_REQUEST, SOURCE, call_of, is_ignored
from tests.support.exchanges import MS, START_NS, make_exchange

BOUNDARY = "9f3c1a"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
SECOND_NS = 1000 * MS
ANTHROPIC = {"anthropic-version": "2023-06-01"}


def form(*parts: tuple[str, bytes | str]) -> bytes:
    """Return a form; bytes become a file."""
    body = b""
    for name, value in parts:
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if isinstance(value, bytes):
            body += b'; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n' + value
        else:
            body += b"\r\n\r\n" + value.encode()
        body += b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.case(53)
@pytest.mark.case(54)
@pytest.mark.case(55)
@pytest.mark.parametrize(
    ("path", "body", "answer", "expected"),
    [
        (
            "/v1/moderations",
            {"model": "omni-moderation-latest", "input": ["a", "b"]},
            {"id": "modr-1", "model": "omni-moderation-latest", "results": [{}, {}]},
            ("openai-moderations", "moderations", "omni-moderation-latest", None),
        ),
        (
            "/v2/rerank",
            {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b", "c"], "top_n": 2},
            {"results": [{}, {}], "meta": {"billed_units": {"search_units": 1}}},
            ("rerank", "rerank", "rerank-v3.5", None),
        ),
        (
            "/v1/rerank",
            {"model": "jina-reranker-v2", "query": "q", "documents": ["a"]},
            {"model": "jina-reranker-v2", "results": [{}], "usage": {"total_tokens": 15}},
            ("rerank", "rerank", "jina-reranker-v2", Usage(input_tokens=15)),
        ),
        (
            "/v1/messages/count_tokens?beta=true",
            {**MESSAGES_REQUEST, "system": "x"},
            {"input_tokens": 14},
            (
                "anthropic-messages",
                "count_tokens",
                "claude-sonnet-4-5",
                Usage(input_tokens=14),
            ),
        ),
        (
            "/v1/responses/input_tokens",
            {"model": "gpt-5", "input": "x"},
            {"object": "response.input_tokens", "input_tokens": 11},
            ("openai-responses", "count_tokens", "gpt-5", Usage(input_tokens=11)),
        ),
        (
            "/v1beta/models/gemini-3-pro:countTokens",
            {"contents": [{"parts": [{"text": "x"}]}]},
            {"totalTokens": 31},
            ("gemini", "count_tokens", "gemini-3-pro", Usage(input_tokens=31)),
        ),
        (
            "/v1/batches",
            {"input_file_id": "file-1", "endpoint": "/v1/chat/completions"},
            {"id": "batch_1", "object": "batch"},
            ("openai-batches", "batches", None, None),
        ),
        (
            "/v1/messages/batches",
            {"requests": [{"custom_id": "a", "params": MESSAGES_REQUEST}]},
            {"id": "msgbatch_1", "type": "message_batch"},
            ("anthropic-messages", "batches", None, None),
        ),
    ],
)
def test_operation_is_a_call_of_its_own(
    path: str, body: dict[str, object], answer: object, expected: tuple[object, ...]
) -> None:
    call = call_of(make_exchange(body, answer, path=path))
    usage = None if call.response is None else call.response.usage
    assert (call.wire_api, call.operation, call.request.model, usage) == expected
    assert call.complete
    assert list(call.request.messages) == []


@pytest.mark.case(54)
def test_images_are_counted_and_measured_and_not_kept() -> None:
    body = {"model": "gpt-image-1", "prompt": "A secret lighthouse.", "n": 2}
    usage = {"input_tokens": 9, "output_tokens": 300, "total_tokens": 309}
    answer = {"data": [{"b64_json": "AAECAwQ="}, {"b64_json": "AAEC"}], "usage": usage}
    call = call_of(make_exchange(body, answer, path="/v1/images/generations"))
    assert call.operation == "images"
    assert call.request.parameters == {"choice.count": 2}
    assert call.request.metadata == {"output_type": "image"}
    assert call.response is not None
    assert call.response.metadata == {"output_count": 2, "output_bytes": 8}
    assert call.response.usage == Usage(input_tokens=9, output_tokens=300)
    assert b"secret" not in msgspec.json.encode([call.request.parameters, call.request.metadata])


def test_speech_is_told_by_its_size() -> None:
    body = {"model": "tts-1", "input": "Hello", "voice": "alloy"}
    exchange = make_exchange(
        body, b"\xff\xf3" + bytes(998), path="/v1/audio/speech", response_content_type="audio/mpeg"
    )
    call = call_of(exchange)
    assert call.response is not None
    assert call.response.metadata == {"output_bytes": 1000}
    assert (call.operation, call.error, call.complete) == ("speech", None, True)


def test_transcription_gives_model_and_size_of_the_upload() -> None:
    upload = form(("model", "whisper-1"), ("file", b"RIFF\r\n--9f3" + bytes(100)))
    answer = {"text": "Hello.", "usage": {"type": "duration", "seconds": 3}}
    exchange = make_exchange(upload, answer, path="/v1/audio/transcriptions", content_type=FORM)
    call = call_of(exchange)
    assert (call.operation, call.request.model) == ("transcriptions", "whisper-1")
    assert call.request.parameters == {"input.bytes": 111}
    assert call.response is not None
    assert call.response.usage is None
    assert call.response.metadata == {"input_seconds": 3.0}


def test_images_of_an_edit_add_up() -> None:
    upload = form(("image[]", bytes(10)), ("image[]", bytes(5)), ("prompt", "x"), ("model", "m"))
    exchange = make_exchange(upload, {"data": []}, path="/v1/images/edits", content_type=FORM)
    assert call_of(exchange).request.parameters == {"input.bytes": 15}


def test_size_of_a_file_that_the_capture_cut_is_not_told() -> None:
    upload = form(("purpose", "batch"), ("file", bytes(500)))[:300]
    exchange = make_exchange(
        upload,
        {"id": "file-1", "object": "file", "bytes": 500},
        path="/v1/files",
        content_type=FORM,
        request_flags=int(BodyFlag.TRUNCATED),
    )
    call = call_of(exchange)
    assert call.operation == "files"
    assert call.request.parameters == {}
    assert call.response is not None
    assert call.response.metadata == {"output_bytes": 500}


def test_failed_operation_has_the_error_of_the_provider() -> None:
    body = {"error": {"type": "invalid_request_error", "message": "No such voice."}}
    exchange = make_exchange(
        {"model": "tts-1", "input": "x"}, body, path="/v1/audio/speech", status=400
    )
    call = call_of(exchange)
    assert call.error is not None
    assert call.error.type == "invalid_request_error"


@pytest.mark.parametrize("path", ["/v1/moderations", "/v1/rerank", "/v1/files", "/v1/batches"])
def test_other_services_on_such_a_path_are_no_call(path: str) -> None:
    assert is_ignored(make_exchange({"comment": "x"}, {}, path=path, host="shop.example"))


def read(
    path: str, answer: object, *, at_s: float = 0, status: int = 200, host: str = "api.openai.com"
) -> HttpExchange:
    start_ns = START_NS + int(at_s * SECOND_NS)
    return make_exchange(
        None, answer, method="GET", path=path, status=status, host=host, start_ns=start_ns
    )


@pytest.mark.parametrize(
    ("path", "operation", "model"),
    [
        ("/v1/models", "models", None),
        ("/v1/models/gpt-5?x=1", "models", "gpt-5"),
        ("/v1/batches/batch_1", "batches", None),
        ("/v1/files", "files", None),
    ],
)
def test_reads_are_calls(path: str, operation: str, model: str | None) -> None:
    call = call_of(read(path, {"object": "list", "data": [{"id": "a"}]}))
    assert (call.operation, call.request.model) == (operation, model)
    assert call.response is not None
    assert call.response.metadata == {"output_count": 1}


def test_polls_of_one_minute_give_one_call_until_the_status_changes() -> None:
    wire = WireCalls(SOURCE)
    answer = {"object": "list", "data": []}
    exchanges = [
        read("/v1/models", answer),
        read("/v1/models", answer, at_s=5),
        read("/v1/models", {"error": {"type": "server_error"}}, at_s=10, status=500),
        read("/v1/models", answer, at_s=20),
        read("/v1/models", answer, at_s=30),
        read("/v1/models", answer, at_s=90),
    ]
    calls = [call for exchange in exchanges for call in wire.feed(exchange)]
    assert [
        call.timing.started_at_ns // SECOND_NS % 1000 for call in calls if isinstance(call, LlmCall)
    ] == [(START_NS // SECOND_NS + second) % 1000 for second in (0, 10, 20, 90)]
    assert wire.counters.polls == 2
    assert wire.counters.calls == 4


def test_read_of_an_unknown_host_counts_only_with_the_answer_of_such_an_api() -> None:
    assert is_ignored(read("/v1/models", {"cars": []}, host="cars.example"))
    assert is_ignored(read("/v1/files", "<html>", host="cars.example"))
    found = call_of(read("/v1/models", {"object": "list", "data": []}, host="vllm:8000"))
    assert found.operation == "models"


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_form_is_read(noise: bytes, cut: int) -> None:
    whole = form(("model", "m"), ("file", noise))
    for body in (noise, whole[:cut], noise + whole):
        members = form_members(body, BOUNDARY.encode())
        assert all(decode_raw(raw) is not None for raw in members.values())


@given(st.text(max_size=200))
def test_any_content_type_is_read(content_type: str) -> None:
    boundary = boundary_of("multipart/form-data; " + content_type)
    assert boundary is None or 0 < len(boundary) <= 70


def test_operation_calls_belong_to_no_agent() -> None:
    call = call_of(
        make_exchange(
            {**MESSAGES_REQUEST},
            {"input_tokens": 3},
            path="/v1/messages/count_tokens",
            fields={**ANTHROPIC, "user-agent": "claude-cli/2.1.0 (external, cli)"},
        )
    )
    assert isinstance(call, LlmCall)
    (placed,) = AgentCalls().feed(call)
    assert placed.facts.agent_name is None
