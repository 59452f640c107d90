# SPDX-License-Identifier: Apache-2.0
"""Plain answers are read at once, and say what the folds say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from heron_otel.records.http import HttpExchange, HttpResponse
from heron_otel.records.wire import LlmCall, LlmRequest
from heron_otel.wire.anthropic_stream import MAX_BLOCKS
from heron_otel.wire.call_record import Folded
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.plain_answers import NotPlainError
from heron_otel.wire.plain_chat import read_chat
from heron_otel.wire.plain_messages import read_message
from tests.support.calls import (
    CHAT_REQUEST,
    MESSAGES_REQUEST,
    SOURCE,
    assert_same_ahead,
    block,
    call_of,
    chunk,
    message_end,
    message_start,
    text_block,
    tool_block,
    tool_delta,
)
from tests.support.exchanges import (
    Event,
    events_of,
    make_exchange,
    named_events_of,
    started_of,
)

Read = Callable[[HttpResponse, LlmRequest], Folded]
CHAT_USAGE = {
    "prompt_tokens": 90,
    "completion_tokens": 12,
    "total_tokens": 102,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 4,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
CHAT_BODY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "gpt-5-2026-01-01",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Low water is at six. ⚓",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": CHAT_USAGE,
    "service_tier": "default",
    "system_fingerprint": None,
}
MESSAGE_USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 900,
    "cache_read_input_tokens": 8000,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 900},
    "output_tokens": 9,
    "service_tier": "standard",
}
MESSAGE_BODY = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Low water is at six."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": MESSAGE_USAGE,
}
PIECES = ("Low ", "water is", " at six", ". ⚓")


def chat_events(*pieces: str) -> list[Event]:
    """Return the events of a Chat Completions stream as OpenAI sends it."""
    first = chunk({"role": "assistant", "content": "", "refusal": None}, service_tier="default")
    ends = [chunk({}, "stop"), chunk(choices=[], usage=CHAT_USAGE)]
    return events_of([first, *(chunk({"content": piece}) for piece in pieces), *ends, "[DONE]"])


def message_events(*pieces: str) -> list[Event]:
    """Return the events of a Messages stream as Anthropic sends it."""
    block = text_block(0, *pieces)
    start = message_start(**MESSAGE_USAGE)
    return named_events_of(
        [start, block[0], {"type": "ping"}, *block[1:], *message_end(output_tokens=30)]
    )


def chat(*events: Event, merge: bool = True) -> HttpExchange:
    return make_exchange(CHAT_REQUEST, events=events, merge=merge)


def messages(*events: Event, merge: bool = True) -> HttpExchange:
    return make_exchange(MESSAGES_REQUEST, events=events, path="/v1/messages", merge=merge)


def is_plain(exchange: HttpExchange, read: Read) -> bool:
    """Return whether ``read`` takes the answer, after a look that the fold says the same."""
    request = call_of(exchange).request
    assert exchange.response is not None
    try:
        read(exchange.response, request)
    except NotPlainError:
        return False
    return True


@pytest.mark.parametrize("merge", [False, True])
def test_what_the_providers_send_is_plain(merge: bool) -> None:
    assert is_plain(chat(*chat_events(*PIECES), merge=merge), read_chat)
    assert is_plain(messages(*message_events(*PIECES), merge=merge), read_message)
    assert is_plain(make_exchange(CHAT_REQUEST, CHAT_BODY), read_chat)
    assert is_plain(
        make_exchange(MESSAGES_REQUEST, MESSAGE_BODY, path="/v1/messages"), read_message
    )


def test_a_plain_stream_is_read_whole() -> None:
    call = call_of(chat(*chat_events(*PIECES)))
    assert call.response is not None
    assert call.response.text == "".join(PIECES)
    assert len(call.timing.chunk_times_ns) == len(PIECES)
    call = call_of(messages(*message_events(*PIECES)))
    assert call.response is not None
    assert call.response.text == "".join(PIECES)
    assert call.response.usage is not None
    assert call.response.usage.cache_write_1h_tokens == 900
    assert len(call.timing.chunk_times_ns) == len(PIECES)


@pytest.mark.parametrize(
    "extra",
    [
        {"content": "x", "reasoning_content": "Hm."},
        tool_delta(1, "{}", id="call_1", name="tide"),
        {"tool_calls": [{"index": 0, "custom": {"name": "sh", "input": "ls"}}]},
        {"content": [{"type": "text", "text": "x"}]},
        {"content": 7},
    ],
)
def test_a_chunk_with_anything_else_is_left_to_the_fold(extra: dict[str, object]) -> None:
    events = chat_events("One")
    odd = Event(data=json.dumps(chunk(extra)).encode(), at_ms=115.0)
    assert not is_plain(chat(*events[:2], odd, *events[2:]), read_chat)


@pytest.mark.parametrize(
    "usage",
    [
        CHAT_USAGE | {"total_tokens": 106},  # reasoning beside the completion
        CHAT_USAGE | {"cost": 0.002},
        CHAT_USAGE | {"prompt_tokens": -1},
        {"input_tokens": 3, "output_tokens": 4},
        CHAT_USAGE | {"prompt_tokens": 20, "total_tokens": 32},  # less than what was cached
    ],
)
def test_a_usage_that_needs_thought_is_left_to_the_fold(usage: dict[str, object]) -> None:
    assert not is_plain(make_exchange(CHAT_REQUEST, CHAT_BODY | {"usage": usage}), read_chat)


@pytest.mark.parametrize("bad", ['{"type":"ping"}\n{"type":"ping"}', '{"type":', "{}"])
def test_data_with_lines_of_its_own_counts_as_the_fold_counts_it(bad: str) -> None:
    events = message_events(*PIECES)
    odd = Event(data=bad.encode(), at_ms=events[3].at_ms)
    assert not is_plain(messages(*events[:3], odd, *events[4:]), read_message)


def test_halves_of_events_do_not_make_one() -> None:
    halves = [Event(data=half, at_ms=120) for half in (b'{"type":"ping"', b"}")]
    lines = Event(data=b'{"type":"ping"}\n{"type":"ping"}', at_ms=121)
    events = message_events(*PIECES)
    assert not is_plain(messages(*events[:3], *halves, lines, *events[3:]), read_message)


def test_blocks_of_other_kinds_are_left_to_the_fold() -> None:
    thinking = block(0, {"type": "thinking", "thinking": ""}, [])
    for blocks in (thinking, text_block(1, "x"), text_block(0, "x")[1:]):
        payloads = [message_start(), *blocks, *message_end("tool_use")]
        assert not is_plain(messages(*named_events_of(payloads)), read_message)
    odd = MESSAGE_BODY | {"content": [{"text": "Without a type."}]}
    assert call_of(make_exchange(MESSAGES_REQUEST, odd, path="/v1/messages")).response


@pytest.mark.parametrize("merge", [False, True])
def test_tool_calls_of_streams_are_plain(merge: bool) -> None:
    texts = ('{"harbour":', '"Kuiv', 'astu"}')
    blocks = [*text_block(0, "I ", "look."), *tool_block(1, "toolu_1", "tide", *texts)]
    blocks += tool_block(2, "toolu_2", "time")
    payloads = [message_start(), *blocks, *message_end("tool_use")]
    exchange = messages(*named_events_of(payloads), merge=merge)
    assert is_plain(exchange, read_message)
    response = call_of(exchange).response
    assert response is not None
    assert [call.arguments for call in response.tool_calls] == [{"harbour": "Kuivastu"}, {}]

    deltas = [chunk({"content": "I "}), chunk({"content": "look."})]
    for index, identity in enumerate(("call_1", "call_2")):
        deltas.append(chunk(tool_delta(index, "", id=identity, name="tide")))
        deltas += [chunk(tool_delta(index, text)) for text in texts]
    exchange = chat(*events_of([*deltas, chunk({}, "tool_calls"), "[DONE]"]), merge=merge)
    assert is_plain(exchange, read_chat)
    response = call_of(exchange).response
    assert response is not None
    assert [call.id for call in response.tool_calls] == ["call_1", "call_2"]
    assert [call.arguments for call in response.tool_calls] == [{"harbour": "Kuivastu"}] * 2


def test_tool_calls_of_a_chat_body_are_plain() -> None:
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for n in range(2)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    exchange = make_exchange(CHAT_REQUEST, CHAT_BODY | {"choices": [choice]})
    assert is_plain(exchange, read_chat)


@pytest.mark.parametrize(
    "constant",
    [
        {"content": "x", "tool_calls": [{"index": 0, "function": {"arguments": "1"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1"}}] * 2},
    ],
)
def test_what_each_event_of_a_run_adds_is_added_each_time(constant: dict[str, object]) -> None:
    text = json.dumps(chunk(constant))
    for old, new in (('"1"', '"2"'), ('"x"', '"y"')):
        payloads = [text, text.replace(old, new, 1), text, "[DONE]"]
        call_of(chat(*events_of(payloads)))


def test_a_batch_is_read_ahead_in_any_mix() -> None:
    mixed = [
        chat(*chat_events(*PIECES)),
        make_exchange(CHAT_REQUEST, {"error": {"message": "Slow."}}, status=429, flow_id=2),
        make_exchange(CHAT_REQUEST, answered=False, flow_id=4),
        make_exchange({"q": 1}, {"hits": []}, path="/search", flow_id=3),
        make_exchange(MESSAGES_REQUEST, MESSAGE_BODY, path="/v1/messages", flow_id=5),
    ]
    plain, ahead = WireCalls(SOURCE), WireCalls(SOURCE)
    expected = [record for each in mixed for record in plain.feed(each)]
    ahead.read_ahead(mixed)
    found = [record for each in mixed for record in ahead.feed(each)]
    assert [each.key for each in found if isinstance(each, LlmCall)] == [
        each.key for each in expected if isinstance(each, LlmCall)
    ]
    assert (plain.counters.read_ahead, ahead.counters.read_ahead) == (0, 2)
    assert dataclasses.replace(ahead.counters, read_ahead=0) == plain.counters


def test_an_announced_call_is_read_ahead_as_well() -> None:
    exchange = chat(*chat_events(*PIECES))
    wire = WireCalls(SOURCE)
    records = [started_of(exchange), exchange]
    wire.read_ahead(records)
    started, ended = (record for each in records for record in wire.feed(each))
    assert wire.counters.read_ahead == 1
    assert started.key == ended.key  # type: ignore[union-attr]
    wire.read_ahead([])
    (again,) = wire.feed(exchange)
    assert isinstance(again, LlmCall)
    assert again.response == ended.response  # type: ignore[union-attr]


@pytest.mark.parametrize("index", [-1, 0, 1])
def test_first_tool_calls_with_any_index_and_no_id_say_what_the_fold_says(index: int) -> None:
    call_of(chat(*events_of([chunk(tool_delta(index, "{}", id="", name="f")), "[DONE]"])))


@pytest.mark.parametrize("kind", ["message", "chat.completion.chunk"])
def test_events_of_a_run_with_an_id_and_no_index_are_calls_as_the_fold_counts(kind: str) -> None:
    function = {"arguments": "1"}
    text = json.dumps(chunk({"tool_calls": [{"id": "c", "function": function}]}, object=kind))
    payloads = [text.replace('"1"', f'"{n}"') for n in range(3)]
    call_of(chat(*events_of(payloads)))


@pytest.mark.parametrize("arguments", ["null", '""', " ", "0", "{"])
def test_arguments_that_are_no_object_are_those_of_the_fold(arguments: str) -> None:
    payloads = [message_start(), *tool_block(0, "toolu_1", "f", arguments), *message_end()]
    call_of(messages(*named_events_of(payloads)))


def test_blocks_of_a_body_have_a_limit() -> None:
    blocks = [{"type": "text", "text": "x"}] * (MAX_BLOCKS + 1)
    body = MESSAGE_BODY | {"content": blocks}
    exchange = make_exchange(MESSAGES_REQUEST, body, path="/v1/messages")
    assert not is_plain(exchange, read_message)


def test_halves_and_two_events_in_one_line_do_not_make_as_many_as_there_are() -> None:
    two = '{"choices":[]}{"choices":[]}'
    half = '{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"lost"}}]'
    for odd in ([half, "}", two], [two, ""], [two, " "]):
        assert not is_plain(chat(*events_of([chunk({"content": "a"}), *odd])), read_chat)


@pytest.mark.parametrize("last", ['"annotations":[]', '"role":"assistant"'])
def test_a_character_that_is_cut_between_pieces_is_joined_where_the_fold_joins(last: str) -> None:
    text = '{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"%s",' + last + "}}]}"
    call_of(chat(*events_of([text % piece for piece in ("a", "\\u26", "93", "b")])))


def test_a_body_over_the_limit_is_left_to_the_fold() -> None:
    exchange = make_exchange(CHAT_REQUEST, CHAT_BODY)
    assert exchange.response is not None
    tail = b'\n{"id":"chatcmpl-2"}'
    size = exchange.response.content_bytes + len(tail)
    cut = replace(exchange.response, content_tail=tail, content_bytes=size, flags=1)
    call_of(replace(exchange, response=cut))


def test_an_answer_of_another_operation_is_no_message() -> None:
    batch = {"requests": [{"custom_id": "a", "params": MESSAGES_REQUEST}]}
    call_of(make_exchange(batch, MESSAGE_BODY, path="/v1/messages/batches"))


PIECE = st.text(alphabet=st.sampled_from('abé⚓😀"\\\n\u2028{}[],:'), max_size=6)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "system_fingerprint": st.sampled_from([None, "fp_ollama", "fp_1"]),
        "service_tier": st.sampled_from([None, "default"]),
        "usage": st.sampled_from([None, {}, CHAT_USAGE]),
        "obfuscation": st.sampled_from(["", "xx"]),
        "id": st.sampled_from(["", None, "chatcmpl-" + "0f" * 16]),
        "x_groq": st.just({"id": "req_1"}),
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": st.none() | PIECE,
        "role": st.sampled_from(["assistant", None]),
        "tool_calls": st.none()
        | st.lists(
            st.builds(
                lambda index, text, members: tool_delta(index, text, **members)["tool_calls"][0],  # type: ignore[index]
                st.sampled_from([0, 0, 0, 1, 2]),
                PIECE,
                st.sampled_from([{}, {}, {"id": "c1", "name": "f"}, {"id": "c2"}]),
            ),
            max_size=2,
        ),
        "refusal": st.sampled_from([None, "No."]),
    },
)
CHUNK = st.builds(
    lambda delta, finish, index, members: chunk(delta, finish, index=index, **members),
    DELTA,
    st.sampled_from([None, None, "stop", "length"]),
    st.sampled_from([0, 0, 0, 0, 1]),
    MEMBERS,
)


@given(st.lists(CHUNK | st.just("[DONE]"), min_size=1, max_size=7), st.booleans())
def test_drawn_chunks_give_what_the_fold_gives(payloads: list[object], merge: bool) -> None:
    exchange = make_exchange(CHAT_REQUEST, events=events_of(payloads), merge=merge)
    (call,) = WireCalls(SOURCE).feed(exchange)
    assert isinstance(call, LlmCall)
    assert_same_ahead(exchange, call)


EVENT = st.one_of(
    st.builds(lambda pieces: text_block(0, *pieces), st.lists(PIECE, max_size=3)),
    st.builds(lambda index, piece: text_block(index, piece)[1:], st.integers(0, 1), PIECE),
    st.builds(
        lambda index, pieces: tool_block(index, "toolu_1", "f", *pieces),
        st.integers(-1, 2),
        st.lists(PIECE, max_size=3),
    ),
    st.builds(
        lambda index, piece: tool_block(index, "toolu_1", "f", piece)[1:],
        st.integers(-1, 1),
        PIECE,
    ),
    st.just([{"type": "ping"}]),
    st.just([message_start()]),
    st.builds(
        lambda reason, usage: message_end(reason, **usage),
        st.sampled_from(["end_turn", "", None]),
        st.sampled_from([{}, {"output_tokens": 0, "input_tokens": 0}, MESSAGE_USAGE]),
    ),
    st.just(message_end()[1:]),
)


@given(st.lists(EVENT, max_size=5), st.booleans(), st.booleans())
def test_drawn_events_give_what_the_fold_gives(
    groups: list[list[dict[str, object]]], merge: bool, done: bool
) -> None:
    payloads: list[object] = [message_start(**MESSAGE_USAGE)]
    payloads += [event for group in groups for event in group]
    events = events_of([*payloads, "[DONE]"] if done else payloads)
    exchange = make_exchange(MESSAGES_REQUEST, events=events, path="/v1/messages", merge=merge)
    (call,) = WireCalls(SOURCE).feed(exchange)
    assert isinstance(call, LlmCall)
    assert_same_ahead(exchange, call)
