# SPDX-License-Identifier: Apache-2.0
"""Run one stage over one capture in this process and print its cost as JSON.

``python -m benchmarks.measure STAGE CAPTURE``; stages are cumulative:

``core``       file to batches: read, decode, reassemble, frame, split, pair (C only)
``exchanges``  and one ``msgspec`` decode a batch: HTTP exchanges
``records``    and the wire stage: one ``LlmCall`` and one JSON line for each call
``priced``     and the cost stage, with the built-in price book
``spans``      and agents, turns and spans, as JSON lines with content
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable

import msgspec

from heron_otel.cost.stage import Costs
from heron_otel.http.exchanges import HttpDecoder
from heron_otel.native import CaptureReader, Core
from heron_otel.pipeline.analysis import Analysis
from heron_otel.pipeline.garbage import tune_garbage_collector
from heron_otel.pipeline.price_book import default_book
from heron_otel.records.http import HttpRecord
from heron_otel.records.wire import LlmCall
from heron_otel.telemetry.json_lines import json_line
from heron_otel.telemetry.settings import SpansConfig
from heron_otel.telemetry.spans import Spans
from heron_otel.turns.limits import TurnLimits
from heron_otel.wire.calls import WireCalls


class CallLine(msgspec.Struct, frozen=True):
    """What one call says without its bodies."""

    key: str
    wire_api: str
    request_model: str | None
    response_model: str | None
    finish_reasons: tuple[str, ...]
    input_tokens: int | None
    output_tokens: int | None
    text: str
    tool_calls: int
    messages: int
    first_token_at_ns: int | None
    ended_at_ns: int


def call_line(call: LlmCall) -> CallLine:
    """Return the record of ``call``."""
    response = call.response
    usage = response.usage if response else None
    return CallLine(
        key=call.key,
        wire_api=call.wire_api,
        request_model=call.request.model,
        response_model=response.model if response else None,
        finish_reasons=response.finish_reasons if response else (),
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        text=response.text if response else "",
        tool_calls=len(response.tool_calls) if response else 0,
        messages=len(call.request.messages),
        first_token_at_ns=call.timing.first_token_at_ns,
        ended_at_ns=call.timing.ended_at_ns,
    )


class Counted:
    """Takes batches and counts the calls in them."""

    def __init__(self, stage: str, sink: int) -> None:
        self.calls = 0
        self._sink = sink
        self._decoder = HttpDecoder()
        self._wire = WireCalls("bench")
        self._costs = Costs(default_book())
        self._analysis = Analysis("bench", TurnLimits(), lambda stage, error: None)
        self._spans = Spans(SpansConfig())
        self._encoder = msgspec.json.Encoder()
        self.take: Callable[[bytes, int], None] = {
            "core": lambda batch, now_ns: None,
            "exchanges": self._exchanges,
            "records": self._records,
            "priced": self._priced,
            "spans": self._turns,
        }[stage]

    def _exchanges(self, batch: bytes, now_ns: int) -> None:
        self.calls += len(self._decoder.feed(batch))

    def _records(self, batch: bytes, now_ns: int) -> None:
        self._lines(self._calls(batch))

    def _priced(self, batch: bytes, now_ns: int) -> None:
        calls = [record for call in self._calls(batch) for record in self._costs.feed(call)]
        self._lines([call for call in calls if isinstance(call, LlmCall)])

    def _calls(self, batch: bytes) -> list[LlmCall]:
        records = self._decoder.feed(batch)
        self._wire.read_ahead(records)
        return [
            call
            for record in records
            for call in self._wire.feed(record)
            if isinstance(call, LlmCall)
        ]

    def _lines(self, calls: list[LlmCall]) -> None:
        lines = [self._encoder.encode(call_line(call)) for call in calls]
        self.calls += len(lines)
        os.write(self._sink, b"\n".join(lines))

    def _turns(self, batch: bytes, now_ns: int) -> None:
        self._write(self._decoder.feed(batch), now_ns)

    def _write(self, records: Iterable[HttpRecord], now_ns: int) -> None:
        for turn_record in self._analysis.feed(records, now_ns):
            for made in self._spans.feed(turn_record):
                for span in made.spans:
                    self.calls += span.kind == 3
                    os.write(self._sink, json_line(span))

    def finish(self) -> None:
        """Take what the stages still hold."""
        for turn_record in self._analysis.finish():
            for made in self._spans.feed(turn_record):
                for span in made.spans:
                    self.calls += span.kind == 3
                    os.write(self._sink, json_line(span))


def peak_mb() -> float:
    """Return the highest resident memory of this program, in MiB.

    ``ru_maxrss`` would also count the process that started it.
    """
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Measure and print."""
    stage, path = sys.argv[1:]
    tune_garbage_collector()
    core = Core()
    counted = Counted(stage, os.open(os.devnull, os.O_WRONLY))
    crossings = batches = 0
    with open(path, "rb", buffering=0) as file:
        reader = CaptureReader(file.fileno(), path, core)
        started = time.process_time()
        while (batch := reader.read_batch()) is not None:
            crossings += 1
            batches += bool(batch)
            counted.take(batch, core.now_ns)
        core.finish()
        counted.take(core.take_batch(), core.now_ns)
        counted.finish()
        cpu_s = time.process_time() - started
    counters = core.counters()
    print(
        json.dumps(
            {
                "cpu_s": cpu_s,
                "packets": counters["packets_read"],
                "bytes": os.path.getsize(path),
                "exchanges": counters["exchanges"],
                "calls": counted.calls,
                "crossings": crossings,
                "batches": batches,
                "rss_mb": peak_mb(),
            }
        )
    )


if __name__ == "__main__":
    main()
