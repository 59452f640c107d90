# SPDX-License-Identifier: Apache-2.0
"""Calls as a gateway makes them: exchanges of several hops, and the spans that come of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from heron_otel.pipeline.hub import Hub, Route
from heron_otel.records.http import HttpExchange, HttpExchangeStarted, HttpRecord
from heron_otel.records.telemetry import Span, TelemetryBatch
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig
from heron_otel.turns.limits import TurnLimits
from tests.support.exchanges import MS, START_NS, make_exchange

CLIENT, GATEWAY, BACKEND = "10.0.0.1", "10.0.0.5", "10.0.0.9"
TOOL = {"name": "look", "parameters": {"type": "object"}}
ANNOUNCED_NS = 500 * MS

Message = Mapping[str, object]


def chat_leg(
    messages: Sequence[Message],
    answer: str = "The answer is 42.",
    *,
    tool_id: str | None = None,
    model: str = "gpt-4o",
    answered_by: str | None = None,
    id: str = "chatcmpl-a",
    tokens: tuple[int, int] = (90, 10),
    status: int = 200,
    fields: Mapping[str, str] | None = None,
    at_ms: float = 0,
    ends_ms: float = 400,
    client: tuple[str, int] = (CLIENT, 40000),
    server: tuple[str, int] = (GATEWAY, 4000),
    seq: int = 0x51000000,
) -> HttpExchange:
    """Return one Chat Completions call from ``at_ms`` to ``ends_ms`` after the start."""
    said: dict[str, object] = {"role": "assistant", "content": answer}
    finish = "stop"
    if tool_id is not None:
        function = {"name": TOOL["name"], "arguments": "{}"}
        said = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": tool_id, "type": "function", "function": function}],
        }
        finish = "tool_calls"
    body: dict[str, object] = {
        "id": id,
        "object": "chat.completion",
        "model": answered_by or model,
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]},
    }
    if status >= 400:
        body = {"error": {"type": "overloaded_error", "message": "try again"}}
    request = {
        "model": model,
        "tools": [{"type": "function", "function": TOOL}],
        "messages": list(messages),
    }
    return make_exchange(
        request,
        body,
        host=f"{server[0]}:{server[1]}",
        status=status,
        fields=fields,
        start_ns=START_NS + round(at_ms * MS),
        first_byte_ms=ends_ms - at_ms - 1,
        ended_ms=ends_ms - at_ms,
        client=client,
        server=server,
        flow_id=client[1],
        request_seq=seq + round(at_ms) % 100_000,
    )


def anthropic_leg(
    messages: Sequence[Message],
    answer: str = "The answer is 42.",
    *,
    tool_id: str | None = None,
    model: str = "claude-sonnet-4-5",
    id: str = "msg_a",
    usage: Mapping[str, int] | None = None,
    fields: Mapping[str, str] | None = None,
    at_ms: float = 0,
    ends_ms: float = 400,
    client: tuple[str, int] = (CLIENT, 40000),
    server: tuple[str, int] = (GATEWAY, 4000),
    seq: int = 0x52000000,
) -> HttpExchange:
    """Return one Anthropic Messages call from ``at_ms`` to ``ends_ms`` after the start."""
    block: dict[str, object] = {"type": "text", "text": answer}
    if tool_id is not None:
        block = {"type": "tool_use", "id": tool_id, "name": TOOL["name"], "input": {}}
    body = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block],
        "stop_reason": "end_turn" if tool_id is None else "tool_use",
        "usage": usage or {"input_tokens": 90, "output_tokens": 10},
    }
    request = {
        "model": model,
        "max_tokens": 1000,
        "tools": [{"name": TOOL["name"], "input_schema": TOOL["parameters"]}],
        "messages": list(messages),
    }
    return make_exchange(
        request,
        body,
        path="/v1/messages",
        host=f"{server[0]}:{server[1]}",
        fields=fields,
        start_ns=START_NS + round(at_ms * MS),
        first_byte_ms=ends_ms - at_ms - 1,
        ended_ms=ends_ms - at_ms,
        client=client,
        server=server,
        flow_id=client[1],
        request_seq=seq + round(at_ms) % 100_000,
    )


def as_captured(exchanges: Iterable[HttpExchange]) -> list[HttpRecord]:
    """Return the records of one tap: ends and announcements in the order of their packets."""
    found: list[HttpRecord] = []
    moments = set()
    for exchange in exchanges:
        request = exchange.request
        assert request is not None
        moments |= {request.started_at_ns, request.ended_at_ns, exchange.emitted_at_ns}
        due_ns = request.ended_at_ns + ANNOUNCED_NS
        if exchange.emitted_at_ns > due_ns:
            found.append(
                HttpExchangeStarted(
                    flow_id=exchange.flow_id,
                    index=exchange.index,
                    emitted_frame=exchange.emitted_frame,
                    emitted_at_ns=due_ns,
                    client_address=exchange.client_address,
                    client_port=exchange.client_port,
                    server_address=exchange.server_address,
                    server_port=exchange.server_port,
                    request_seq=exchange.request_seq,
                    request=request,
                )
            )
            moments.add(due_ns)
        found.append(exchange)
    found.sort(key=lambda record: (record.emitted_at_ns, record.flow_id, record.index))
    ordered = sorted(moments)
    return [
        msgspec.structs.replace(
            record,
            clock_before_ns=max((m for m in ordered if m < record.emitted_at_ns), default=0),
        )
        for record in found
    ]


class Tap:
    """A hub with one pipeline, and what it delivered."""

    def __init__(self, *sources: str) -> None:
        self.sources = sources or ("pcap/test",)
        self.spans: list[Span] = []
        self.hub = Hub(
            [
                Route(
                    name="traces",
                    sources=frozenset(self.sources),
                    spans=SpansConfig(policy=CapturePolicy.FULL),
                    turns=TurnLimits(),
                    deliver=self._deliver,
                )
            ],
            self._unexpected,
            self._unexpected,
            1 << 20,
        )

    def feed(self, records: Sequence[HttpRecord], source: str | None = None) -> None:
        """Feed records of one source, which is then at the time of the last one."""
        if records:
            self.hub.feed(source or self.sources[0], records, records[-1].emitted_at_ns)

    def finish(self) -> list[Span]:
        """End all sources; return all spans in the order of their starts."""
        for source in self.sources:
            self.hub.finish(source)
        self.hub.run()
        return sorted(self.spans, key=lambda s: (s.start_time_unix_nano, s.span_id))

    @property
    def counters(self) -> Mapping[str, int]:
        """Return the counters of the hops stage, names without prefix."""
        return {
            name.removeprefix("hops."): value
            for name, value in self.hub.counters().items()
            if name.startswith("hops.")
        }

    def _deliver(self, batch: TelemetryBatch) -> None:
        self.spans.extend(batch.spans)

    def _unexpected(self, what: str, error: Exception) -> None:
        raise AssertionError(f"{what}: {error!r}") from error


def spans_of_legs(*exchanges: HttpExchange) -> list[Span]:
    """Return the spans of exchanges that one tap saw."""
    tap = Tap()
    tap.feed(as_captured(exchanges))
    return tap.finish()


def calls(spans: Iterable[Span]) -> list[Span]:
    """Return the logical calls."""
    return [span for span in spans if span.attributes.get("gen_ai.operation.name") == "chat"]


def hops(spans: Iterable[Span]) -> list[Span]:
    """Return the spans of later hops."""
    return [span for span in spans if span.name.startswith("hop")]


def turns(spans: Iterable[Span]) -> list[Span]:
    """Return the turns."""
    return [span for span in spans if "heron.turn.status" in span.attributes]
