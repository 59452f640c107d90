# SPDX-License-Identifier: Apache-2.0
"""Why a call read less from the prompt cache than the call before it had left there.

Two calls of one thread (the main agent of a session, or a sub-agent) are compared part by part, in
the order in which providers cache a prompt: tools, system instructions, messages. Only digests
of the parts are kept.

Sources: Anthropic API, "Prompt caching" (order, lifetimes of 5 minutes and 1 hour, refreshed by
each use, least sizes); OpenAI API, "Prompt caching" (from 1024 tokens on, in steps of 128, kept
for 5 to 10 minutes of inactivity); Gemini API, "Context caching" (implicit caching).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from itertools import islice

import msgspec

from heron_otel.records.prompt_cache import CacheFacts, CacheMiss
from heron_otel.records.wire import Json, LlmCall, Usage, content_digest

MAX_PARTS = 2048
"""Tools, system parts or messages of a call that are compared; later ones are not looked at."""

_LEAST_TOKENS = 1024  # shorter prompts are not cached by OpenAI, nor by most models of others
_STEP_TOKENS = 128
_SLACK_TOKENS = 256  # an automatic cache ends at a step before the end of the prompt
_SHORT_NS = 300_000_000_000
_HOUR_NS = 3_600_000_000_000
_PART_BYTES = 96  # of a digest and its place in a tuple
_STATE_BYTES = 500
_MAX_BLOCKS_BYTES = 4_194_304  # of JSON text, of all lists whose digests are remembered
_MAX_BLOCK_LIST_BYTES = 262_144  # of one of them; the tools of a coding agent take 100 KB
_MIN_BLOCK_LIST_BYTES = 512  # ``wire/`` reads shorter lists again for each call
_BLOCK_LIST_BYTES = 500  # of an entry, beside its text
_MAX_VOLATILE = 16

ThreadKey = tuple[str, ...]
Blocks = tuple[dict[str, Json], ...]


class _State(msgspec.Struct):
    """What is remembered of the last call of a thread."""

    model: str | None
    started_at_ns: int
    ended_at_ns: int
    tools: Sequence[str]
    system: Sequence[str]
    messages: Sequence[str]
    cached_tokens: int  # in the cache after the call
    is_hour: bool  # what it wrote is kept for an hour
    volatile: frozenset[tuple[str, int]]  # parts that change and are no part of the cache

    @property
    def size(self) -> int:
        """Bytes that the state takes."""
        parts = len(self.tools) + len(self.system) + len(self.messages)
        return _STATE_BYTES + _PART_BYTES * parts


class BlockDigests:
    """Digests of lists of tools and system texts, the least recently used list forgotten first.

    ``wire/`` hands out one object for equal lists, so a list is found by its id, which stays its
    own while the list is kept alive here. ``bytes_held`` is at most ``_MAX_BLOCKS_BYTES``.
    """

    def __init__(self) -> None:
        # Not a dict: to find its first entry it looks at every place that was emptied before it.
        self._known: OrderedDict[int, tuple[tuple[str, ...], Blocks, int]] = OrderedDict()
        self.bytes_held = 0

    def of(self, blocks: Blocks) -> tuple[str, ...]:
        """Return the digests of ``blocks``."""
        if not blocks:
            return ()
        known = self._known.get(id(blocks))
        if known is not None:
            self._known.move_to_end(id(blocks))
            return known[0]
        texts = [_text(block) for block in blocks[:MAX_PARTS]]
        digests = tuple(map(content_digest, texts))
        length = sum(map(len, texts))
        is_whole = len(texts) == len(blocks)  # what is not looked at is not in ``length``
        if is_whole and _MIN_BLOCK_LIST_BYTES <= length <= _MAX_BLOCK_LIST_BYTES:
            size = length + _BLOCK_LIST_BYTES + _PART_BYTES * len(digests)
            self._known[id(blocks)] = (digests, blocks, size)
            self.bytes_held += size
            while self.bytes_held > _MAX_BLOCKS_BYTES:
                self.bytes_held -= self._known.popitem(last=False)[1][2]
        return digests


class PromptCaches:
    """The last call of each thread, least recently used threads forgotten first.

    ``counters`` gets ``prompt_caches_limit``: threads that were forgotten at ``max_bytes``.
    """

    def __init__(self, max_bytes: int, counters: Counter[str]) -> None:
        self._max_bytes = max_bytes
        self._counters = counters
        self._states: dict[ThreadKey, _State] = {}
        self._block_digests = BlockDigests()
        self.bytes_held = 0

    def compare(self, thread: ThreadKey, call: LlmCall) -> CacheFacts | None:
        """Return what ``call`` missed; None when it missed nothing or nothing is known."""
        usage = None if call.response is None else call.response.usage
        if usage is None or usage.estimated or usage.input_tokens is None:
            return None  # a failed call says nothing about the cache
        before = self._states.pop(thread, None)
        if before is not None:
            self.bytes_held -= before.size
        elif not usage.cache_read_tokens and usage.cache_write_tokens is None:
            return None  # the provider shows no cache
        now = self._state(call, usage, before)
        facts = None
        if before is not None and before.ended_at_ns <= now.started_at_ns:
            facts = _compare(before, now, call, usage)
        self._states[thread] = now
        self.bytes_held += now.size
        while self.bytes_held > self._max_bytes and len(self._states) > 1:
            oldest = next(iter(self._states))
            self.bytes_held -= self._states.pop(oldest).size
            self._counters["prompt_caches_limit"] += 1
        return facts

    def _state(self, call: LlmCall, usage: Usage, before: _State | None) -> _State:
        request, timing = call.request, call.timing
        messages = [message.digest for message in islice(request.messages, MAX_PARTS)]
        read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens
        is_hour = bool(usage.cache_write_1h_tokens)
        volatile: frozenset[tuple[str, int]] = frozenset()
        if before is not None:
            is_hour = is_hour or (before.is_hour and read > 0 and not written)
            volatile = before.volatile
        return _State(
            model=request.model,
            started_at_ns=timing.started_at_ns,
            ended_at_ns=timing.ended_at_ns,
            tools=self._block_digests.of(request.tools or ()),
            system=self._block_digests.of(request.system_instructions),
            messages=messages,
            cached_tokens=_cached(usage, read),
            is_hour=is_hour,
            volatile=volatile,
        )


def _text(block: dict[str, Json]) -> bytes:
    try:
        return msgspec.json.encode(block)
    except (ValueError, RecursionError):  # lone surrogates, or nested too deep
        return repr(sorted(block)).encode("utf-8", "replace")


def _cached(usage: Usage, read: int) -> int:
    """Return how many tokens are in the cache after a call.

    An API that counts what it writes keeps that. One that does not caches the beginning of every
    prompt by itself, in steps.
    """
    if usage.cache_write_tokens is not None:
        return read + usage.cache_write_tokens
    input_tokens = usage.input_tokens or 0
    if input_tokens < _LEAST_TOKENS:
        return read
    return max(read, input_tokens - input_tokens % _STEP_TOKENS)


def _compare(before: _State, now: _State, call: LlmCall, usage: Usage) -> CacheFacts | None:
    read = usage.cache_read_tokens or 0
    missed = min(before.cached_tokens, usage.input_tokens or 0) - read
    is_automatic = usage.cache_write_tokens is None
    idle_ns = now.started_at_ns - before.started_at_ns
    if missed <= (_SLACK_TOKENS if is_automatic else 0):
        is_empty = not is_automatic and not before.cached_tokens and not read
        if is_empty and (usage.input_tokens or 0) >= _LEAST_TOKENS:
            return CacheFacts(miss=CacheMiss.NEVER_CACHED, missed_tokens=0, idle_ns=idle_ns)
        if before.cached_tokens:
            now.volatile = _volatile(before, now)
        return None
    part, index = _first_change(before, now)
    lifetime_ns = _HOUR_NS if before.is_hour else _SHORT_NS
    if before.model != now.model:
        miss = CacheMiss.MODEL
    elif idle_ns > lifetime_ns:
        miss = CacheMiss.EXPIRED
    elif part is not None:
        miss = CacheMiss.CHANGED
    else:
        miss = CacheMiss.NOT_REUSED
    return CacheFacts(
        miss=miss,
        missed_tokens=missed,
        idle_ns=idle_ns,
        changed_part=part,
        changed_index=index,
        extra_pusd=_extra(call, usage, missed),
    )


def _first_change(before: _State, now: _State) -> tuple[str | None, int | None]:
    """Return the first part of ``before`` that is another one in ``now``, or none."""
    for part, old, new in (
        ("tools", before.tools, now.tools),
        ("system", before.system, now.system),
    ):
        if old is not new and old != new:
            for index in range(max(len(old), len(new))):
                if (part, index) not in before.volatile and old[index : index + 1] != new[
                    index : index + 1
                ]:
                    return part, index
    for index, (old_digest, new_digest) in enumerate(
        zip(before.messages, now.messages, strict=False)
    ):
        if old_digest != new_digest:
            return "messages", index
    return None, None


def _volatile(before: _State, now: _State) -> frozenset[tuple[str, int]]:
    """Return the tools and system parts that change while the cache is read past them.

    Some clients put a line into their system instructions that differs in each call and that
    their provider takes out before it looks into its cache.
    """
    found = now.volatile
    for part, old, new in (
        ("tools", before.tools, now.tools),
        ("system", before.system, now.system),
    ):
        if old != new and len(old) == len(new):
            changed = {(part, i) for i in range(len(old)) if old[i] != new[i]}
            if len(found | changed) <= _MAX_VOLATILE:
                found = found | changed
    return found


def _extra(call: LlmCall, usage: Usage, missed: int) -> int | None:
    """Return what missed tokens cost more than if they had been read from the cache.

    They were written to the cache again as far as anything was, at what that costs.
    """
    rates = None if call.cost is None else call.cost.rates
    if rates is None or rates.input is None or rates.cache_read is None:
        return None
    again = min(missed, usage.cache_write_tokens or 0)
    hour = min(again, usage.cache_write_1h_tokens or 0)
    short_rate = rates.input if rates.cache_write is None else rates.cache_write
    hour_rate = short_rate if rates.cache_write_1h is None else rates.cache_write_1h
    paid = (again - hour) * short_rate + hour * hour_rate + (missed - again) * rates.input
    return paid - missed * rates.cache_read
