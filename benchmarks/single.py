# SPDX-License-Identifier: Apache-2.0
"""Measure single stages over calls that are in memory, and print microseconds per call as JSON.

``python -m benchmarks.single SMALL CLEAN``: the captures of these profiles. A gateway is made by
giving each call of ``small`` a second leg inside it, from its server to another one.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from heron_otel.cost.stage import Costs
from heron_otel.hops.stage import Hops
from heron_otel.http.exchanges import HttpDecoder
from heron_otel.native import CaptureReader, Core
from heron_otel.pipeline.garbage import tune_garbage_collector
from heron_otel.pipeline.price_book import default_book
from heron_otel.records.wire import LlmCall, LlmRecord
from heron_otel.turns.prompt_cache import PromptCaches
from heron_otel.wire.calls import WireCalls

ROUNDS = 5
MAX_CALLS = 4_000  # what is in memory; the other profile has 400
MS = 1_000_000
BACKEND = ("10.0.0.3", 8080)

Fed = tuple[int, LlmRecord]  # moment, record


def read(path: str) -> list[Fed]:
    """Return the first calls and announcements of a capture with their moments."""
    core, decoder, wire = Core(), HttpDecoder(), WireCalls("bench")
    found: list[Fed] = []
    with open(path, "rb", buffering=0) as file:
        reader = CaptureReader(file.fileno(), path, core)
        while len(found) < MAX_CALLS and (batch := reader.read_batch()) is not None:
            for exchange in decoder.feed(batch):
                found += [(exchange.emitted_at_ns, record) for record in wire.feed(exchange)]
    return [each for each in found if isinstance(each[1], LlmRecord)]


def with_gateway(records: Sequence[Fed]) -> list[Fed]:
    """Return the records with a second leg of each call, 2 ms after its start, 1 ms before its
    end."""
    replace = msgspec.structs.replace
    legs: list[Fed] = list(records)
    for at_ns, record in records:
        if isinstance(record, LlmCall):
            timing, exchange = record.timing, record.exchange
            inner = replace(
                record,
                key=f"{record.key[:-1]}-",
                timing=replace(
                    timing,
                    started_at_ns=timing.started_at_ns + 2 * MS,
                    ended_at_ns=timing.ended_at_ns - MS,
                ),
                exchange=replace(
                    exchange,
                    request_seq=0,
                    client_address=exchange.server_address,
                    client_port=exchange.client_port,
                    server_address=BACKEND[0],
                    server_port=BACKEND[1],
                    emitted_at_ns=exchange.emitted_at_ns - MS,
                ),
            )
            legs.append((at_ns - MS, inner))
    legs = [each for each in legs if isinstance(each[1], LlmCall)]
    legs.sort(key=lambda each: each[0])
    return legs


def fold(records: Sequence[Fed]) -> int:
    """Feed the hops stage; return how many calls were folded."""
    hops = Hops()
    lane = hops.lane()
    for at_ns, record in records:
        lane.advance(at_ns)
        lane.feed(record)
    lane.finish()
    return hops.counters["folded"]


def price(records: Sequence[Fed]) -> int:
    """Feed the cost stage; return how many calls it priced."""
    costs = Costs(default_book())
    for _, record in records:
        costs.feed(record)
    return costs.counters["priced"]


def compare(records: Sequence[Fed]) -> int:
    """Compare prompt caches, a connection being a thread; return the calls that missed some."""
    caches = PromptCaches(16 << 20, Counter())
    facts = [
        caches.compare((str(record.exchange.client_port),), record)
        for _, record in records
        if isinstance(record, LlmCall)
    ]
    return sum(fact is not None for fact in facts)


def least(work: Callable[[Sequence[Fed]], int], records: Sequence[Fed], calls: int) -> float:
    """Return the least CPU time of the rounds, in us for each of ``calls``."""
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work(records)
        found.append(time.process_time() - started)
    return min(found) / calls * 1e6


def main() -> None:
    """Measure and print."""
    small, clean = (read(path) for path in sys.argv[1:])
    legs = with_gateway(small)
    for _, record in clean:
        tuple(record.request.messages)  # the stages before have read them
    tune_garbage_collector()
    calls, agent_calls = (
        sum(isinstance(record, LlmCall) for _, record in records) for records in (small, clean)
    )
    folded, priced = fold(legs), price(small)
    if folded < calls * 0.99 or priced < calls:
        raise SystemExit(f"of {calls} calls {folded} were folded and {priced} priced")
    print(
        json.dumps(
            {
                "hops": least(fold, small, calls),
                "hops, through a gateway": least(fold, legs, calls),
                "cost": least(price, small, calls),
                "prompt cache": least(compare, clean, agent_calls),
            }
        )
    )


if __name__ == "__main__":
    main()
