# SPDX-License-Identifier: Apache-2.0
"""Makes one record of an outermost call and the hops found inside it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from heron_otel.hops.evidence import differing_fields, has_failed, is_other_model
from heron_otel.hops.seen import Seen
from heron_otel.records.wire import FoldedHops, LlmCall, LlmHop, Message


class _NoMessages:
    """The messages of a hop: those of the logical call say the same."""

    is_cut = False

    def __len__(self) -> int:
        return 0

    def at(self, index: int) -> tuple[Message, ...]:
        raise IndexError(f"wire item {index} of 0")

    def raw(self, index: int) -> bytes:
        raise IndexError(f"wire item {index} of 0")

    def __iter__(self) -> Iterator[Message]:
        return iter(())


_NO_MESSAGES = _NoMessages()


def folded_call(root: Seen, call: LlmCall) -> LlmCall:
    """Return ``call``, that of ``root``, with the hops below ``root`` and the copies of it."""
    hops: list[LlmHop] = []
    mirrors = root.mirrors + _collect(root, call, 1, hops)
    if not hops and not mirrors:
        return call
    facts = FoldedHops(mirrors=mirrors)
    if hops:
        facts = _with_timing(call, hops, mirrors)
    return msgspec.structs.replace(call, folded=facts)


def without_content(call: LlmCall) -> LlmCall:
    """Return ``call`` without bodies, messages and tools."""
    replace = msgspec.structs.replace
    exchange, response = call.exchange, call.response
    if exchange.request is not None:
        exchange = replace(exchange, request=replace(exchange.request, content=b""))
    if response is not None:
        response = replace(response, messages=(), text="", tool_calls=())
    request = replace(call.request, messages=_NO_MESSAGES, system_instructions=(), tools=None)
    timing = replace(call.timing, chunk_times_ns=())
    return replace(call, exchange=exchange, request=request, response=response, timing=timing)


def _collect(outer: Seen, call: LlmCall, index: int, hops: list[LlmHop]) -> int:
    """Add the hops below ``outer`` to ``hops``; return how many copies of them there were."""
    mirrors = 0
    for child in sorted(outer.children, key=lambda each: (each.started_ns, each.key)):
        if child.call is None:
            continue
        added, removed, changed = differing_fields(outer.values(), child.values())
        hops.append(
            LlmHop(
                call=without_content(child.call),
                index=index,
                outer=call.key,
                fields_added=added,
                fields_removed=removed,
                fields_changed=changed,
            )
        )
        mirrors += child.mirrors
        if child.children:
            mirrors += _collect(child, child.call, index + 1, hops)
    return mirrors


def _with_timing(call: LlmCall, hops: list[LlmHop], mirrors: int) -> FoldedHops:
    direct = [hop.call for hop in hops if hop.index == 1]
    answered = [hop.call for hop in hops if not has_failed(hop.call)]
    backend = max(answered, default=None, key=lambda each: (each.timing.started_at_ns, each.key))
    asked, told = call.request.model, None if call.response is None else call.response.model
    used = None
    if backend is not None:
        used = None if backend.response is None else backend.response.model
        used = used or backend.request.model
    timing = call.timing
    return FoldedHops(
        hops=tuple(hops),
        mirrors=mirrors,
        overhead_ns=_outside_ns(timing.started_at_ns, timing.ended_at_ns, direct),
        first_token_overhead_ns=_first_token_overhead_ns(call, direct),
        backend_model=used,
        substituted=is_other_model(asked, used) and not is_other_model(asked, told),
    )


def _outside_ns(start_ns: int, end_ns: int, inner: list[LlmCall]) -> int:
    """Return how much of the time from ``start_ns`` to ``end_ns`` no inner call was open."""
    outside = 0
    at_ns = start_ns
    for each in sorted(inner, key=lambda each: each.timing.started_at_ns):
        begin = min(max(each.timing.started_at_ns, start_ns), end_ns)
        outside += max(0, begin - at_ns)
        at_ns = max(at_ns, min(each.timing.ended_at_ns, end_ns))
    return outside + max(0, end_ns - at_ns)


def _first_token_overhead_ns(call: LlmCall, direct: list[LlmCall]) -> int | None:
    """Return what the gateway added to the time to the first token, else to the first byte."""
    answered = [each for each in direct if not has_failed(each)]
    if not answered:
        return None
    last = max(answered, key=lambda each: (each.timing.started_at_ns, each.key))
    for ours, theirs in (
        (call.timing.first_token_at_ns, last.timing.first_token_at_ns),
        (call.timing.first_byte_at_ns, last.timing.first_byte_at_ns),
    ):
        if ours is not None and theirs is not None:
            before = [each for each in direct if each is not last]
            asked_ns = last.timing.started_at_ns
            waited = _outside_ns(call.timing.started_at_ns, asked_ns, before)
            return max(0, waited + ours - theirs)
    return None
