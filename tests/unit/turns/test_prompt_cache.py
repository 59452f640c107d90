# SPDX-License-Identifier: Apache-2.0
"""Why a call read less from the prompt cache than the call before it had left there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from heron_otel.records.cost import CallCost, TokenRates
from heron_otel.records.prompt_cache import CacheFacts, CacheMiss
from heron_otel.records.wire import LlmCall, Usage
from heron_otel.turns.prompt_cache import BlockDigests, Blocks, PromptCaches
from tests.support.agent_calls import CLAUDE, asks, assistant, call, results, tool_use, user
from tests.support.turns import run

MINUTE = 60.0
TOOL = "toolu_01AbCdEfGhIjKlMn"
HISTORY = [user("go"), assistant(tool_use(TOOL)), results((TOOL, "x"))]
RATES = TokenRates(
    input=3_000_000,
    output=15_000_000,
    cache_read=300_000,
    cache_write=3_750_000,
    cache_write_1h=6_000_000,
)


def used(
    total: int, read: int | None, written: int | None = None, hour: int | None = None
) -> Usage:
    return Usage(
        input_tokens=total,
        output_tokens=1,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
    )


def asked(items: Any, start: float, usage: Usage | None, **more: Any) -> LlmCall:
    made = call(items, start, start + 1, headers=CLAUDE, usage=usage, **more)
    return msgspec.structs.replace(made, cost=CallCost(priced_pusd=0, rates=RATES))


def last(*calls: LlmCall, caches: PromptCaches | None = None) -> CacheFacts | None:
    caches = caches or PromptCaches(1 << 20, Counter())
    found = None
    for each in calls:
        found = caches.compare(("thread",), each)
    return found


def test_call_that_reads_all_that_was_cached_missed_nothing() -> None:
    first = asked(HISTORY[:1], 0, used(5_100, 0, 5_000))
    second = asked(HISTORY, 2, used(5_400, 5_000, 300))
    third = asked([*HISTORY, assistant("done"), user("more")], 4, used(5_600, 5_300, 200))
    assert last(first, second, third) is None


def test_changed_message_is_named_with_what_it_cost() -> None:
    first = asked(HISTORY, 0, used(5_400, 0, 5_300))
    changed = [HISTORY[0], assistant(tool_use(TOOL, "Other")), *HISTORY[2:]]
    found = last(first, asked(changed, 2, used(5_400, 1_000, 4_000)))
    assert found == CacheFacts(
        miss=CacheMiss.CHANGED,
        missed_tokens=4_300,
        idle_ns=2_000_000_000,
        changed_part="messages",
        changed_index=1,
        # 4000 were written again, 300 were plain input; a read would have cost a tenth.
        extra_pusd=4_000 * 3_750_000 + 300 * 3_000_000 - 4_300 * 300_000,
    )


@pytest.mark.parametrize(
    ("before", "after", "part", "index"),
    [
        ({"offered": ["Bash", "Read"]}, {"offered": ["Bash", "Edit"]}, "tools", 1),
        ({"offered": ["Bash"]}, {"offered": ["Bash", "Read"]}, "tools", 1),
        ({"offered": ["Bash"]}, {"offered": []}, "tools", 0),
        ({"system_texts": ["a", "b"]}, {"system_texts": ["a", "c"]}, "system", 1),
        (
            {"offered": ["Bash"], "system_texts": ["a"]},
            {"offered": ["Read"], "system_texts": ["b"]},
            "tools",
            0,
        ),
    ],
)
def test_parts_are_compared_in_the_order_in_which_they_are_cached(
    before: dict[str, Any], after: dict[str, Any], part: str, index: int
) -> None:
    found = last(
        asked(HISTORY, 0, used(5_400, 0, 5_300), **before),
        asked(HISTORY, 2, used(5_400, 0, 5_300), **after),
    )
    assert found is not None
    assert (found.miss, found.changed_part, found.changed_index) == ("prefix_changed", part, index)


@pytest.mark.parametrize(
    ("idle", "hour", "miss"),
    [
        (4 * MINUTE, None, "not_reused"),
        (6 * MINUTE, None, "expired"),
        (6 * MINUTE, 5_300, "not_reused"),
        (61 * MINUTE, 5_300, "expired"),
    ],
)
def test_entry_expires_by_its_own_lifetime(idle: float, hour: int | None, miss: str) -> None:
    first = asked(HISTORY, 0, used(5_400, 0, 5_300, hour))
    found = last(first, asked(HISTORY, idle, used(5_400, 0, 5_300, hour)))
    assert found is not None
    assert (found.miss, found.missed_tokens) == (miss, 5_300)
    assert found.changed_part is None


def test_lifetime_of_an_hour_stays_while_the_entry_is_only_read() -> None:
    calls = [
        asked(HISTORY, 0, used(5_400, 0, 5_300, 5_300)),
        asked(HISTORY, 10 * MINUTE, used(5_400, 5_300, 0, 0)),
        asked(HISTORY, 30 * MINUTE, used(5_400, 0, 5_300, 5_300)),
    ]
    found = last(*calls)
    assert found is not None
    assert found.miss is CacheMiss.NOT_REUSED


def test_other_model_has_a_cache_of_its_own() -> None:
    first = asked(HISTORY, 0, used(5_400, 0, 5_300))
    found = last(first, asked(HISTORY, 2, used(5_400, 0, 5_300), model="model-2"))
    assert found is not None
    assert found.miss is CacheMiss.MODEL


def test_client_that_marks_nothing_for_the_cache_is_told_apart() -> None:
    calls = [asked(HISTORY, at, used(5_400, 0, 0)) for at in (0, 2)]
    found = last(*calls)
    assert found is not None
    assert (found.miss, found.missed_tokens, found.extra_pusd) == ("never_cached", 0, None)
    assert last(*(asked(HISTORY, at, used(900, 0, 0)) for at in (0, 2))) is None


@pytest.mark.parametrize(
    ("before", "now", "missed"),
    [
        (used(2_000, 1_024), used(2_300, 1_920), None),
        (used(2_000, 1_024), used(2_300, 1_792), None),  # a step before the end
        (used(2_000, 1_024), used(2_300, 0), 1_920),
        (used(2_000, 0), used(2_300, 0), None),  # nothing shows that there is a cache
        (used(900, 128), used(2_300, 0), None),  # too short to be cached
        (used(2_000, None), used(2_300, None), None),  # says nothing about caches
        (used(2_000, 1_024), used(2_300, None), 1_920),  # Gemini leaves zeros out
        (used(9_000, 1_024), used(2_000, 0), 2_000),  # a shorter prompt cannot read more
    ],
)
def test_automatic_cache_holds_the_prompt_before_in_steps(
    before: Usage, now: Usage, missed: int | None
) -> None:
    found = last(asked(HISTORY, 0, before), asked(HISTORY, 2, now))
    assert (None if found is None else found.missed_tokens) == missed


def test_part_that_changes_while_the_cache_is_read_is_passed_over() -> None:
    calls = [
        asked(HISTORY, 0, used(5_400, 0, 5_300), system_texts=["nonce 1", "a"]),
        asked(HISTORY, 2, used(5_400, 5_300, 0), system_texts=["nonce 2", "a"]),
        asked(HISTORY, 4, used(5_400, 0, 5_300), system_texts=["nonce 3", "b"]),
    ]
    found = last(*calls)
    assert found is not None
    assert (found.changed_part, found.changed_index) == ("system", 1)


def test_calls_that_say_nothing_of_the_cache_are_passed_over() -> None:
    first = asked(HISTORY, 0, used(5_400, 0, 5_300))
    failed = asked(HISTORY, 2, None)
    guessed = asked(HISTORY, 3, Usage(input_tokens=9, output_tokens=9, estimated=True))
    assert last(first, failed, guessed) is None
    assert last(first, failed, guessed, asked(HISTORY, 5, used(5_400, 5_300, 0))) is None


def test_calls_at_the_same_time_are_not_compared() -> None:
    first = asked(HISTORY, 0, used(5_400, 0, 5_300))
    assert last(first, asked(HISTORY, 0.5, used(5_400, 0, 5_300))) is None


def test_unpriced_call_has_tokens_and_no_money() -> None:
    bare = msgspec.structs.replace(asked(HISTORY, 2, used(5_400, 0, 5_300)), cost=None)
    found = last(asked(HISTORY, 0, used(5_400, 0, 5_300)), bare)
    assert found is not None
    assert (found.missed_tokens, found.extra_pusd) == (5_300, None)


def test_memory_is_bounded_and_the_least_recently_used_thread_is_forgotten() -> None:
    counters: Counter[str] = Counter()
    caches = PromptCaches(4_000, counters)
    for number in range(50):
        caches.compare((str(number),), asked(HISTORY, 0, used(5_400, 0, 5_300)))
        assert caches.bytes_held <= 4_000
    assert counters["prompt_caches_limit"] > 40
    again = asked(HISTORY, 2, used(5_400, 0, 5_300))
    assert caches.compare(("0",), again) is None
    assert caches.compare(("49",), again) is not None


def test_turn_says_what_its_calls_missed_and_sub_agents_are_threads_of_their_own() -> None:
    calls = [
        asked([user("go")], 0, used(5_100, 0, 5_000), tools=[asks(TOOL)]),
        asked(HISTORY, 2, used(5_400, 0, 5_300), text="done"),
        asked([*HISTORY, assistant("done"), user("more")], 4, used(5_600, 0, 5_500), text="yes"),
    ]
    out = run(calls)
    first, second = out.turns
    placed = [each.cache for each in out.placed]
    assert placed[0] is None
    assert [each.missed_tokens for each in placed[1:] if each] == [5_000, 5_300]
    assert (first.cache_missed_tokens, second.cache_missed_tokens) == (5_000, 5_300)
    extra = [each.extra_pusd for each in placed if each]
    assert [first.cache_missed_pusd, second.cache_missed_pusd] == extra
    agent = {**CLAUDE, "x-claude-code-agent-id": "a0123456789abcdef"}
    other = call(HISTORY, 3, 4, headers=agent, usage=used(2_000, 0, 1_900), name="sub")
    assert [each.cache for each in run([*calls[:2], other]).placed][-1] is None


def test_threads_of_providers_without_a_cache_take_no_memory() -> None:
    caches = PromptCaches(1 << 20, Counter())
    assert last(asked(HISTORY, 0, used(5_100, None)), caches=caches) is None
    assert caches.bytes_held == 0
    last(asked(HISTORY, 2, used(5_100, 1_024)), caches=caches)
    assert caches.bytes_held > 0


def tools(number: int, length: int) -> Blocks:
    return ({"name": f"tool {number}", "description": "x" * length}, {"name": "end"})


def test_digests_of_a_list_are_made_once_and_equal_lists_have_equal_ones() -> None:
    digests = BlockDigests()
    first = tools(1, 1000)
    made = digests.of(first)
    assert digests.of(first) is made
    assert digests.of(tools(1, 1000)) == made
    assert digests.of(tools(2, 1000))[1:] == made[1:]
    assert digests.of(tools(2, 1000))[0] != made[0]


def test_digests_are_bounded_and_the_least_recently_used_list_is_forgotten() -> None:
    digests = BlockDigests()
    lists = [tools(number, 200_000) for number in range(50)]
    made = [digests.of(lists[0])]
    for each in lists[1:]:
        made.append(digests.of(each))
        assert digests.of(lists[0]) is made[0]
        assert digests.bytes_held <= 4 << 20
    assert digests.bytes_held > 3 << 20
    again = digests.of(lists[1])
    assert again == made[1]
    assert again is not made[1]


@pytest.mark.parametrize("length", [10, 300_000])
def test_digests_of_short_and_endless_lists_are_not_remembered(length: int) -> None:
    digests = BlockDigests()
    blocks = tools(1, length)
    assert digests.of(blocks) == digests.of(blocks)
    assert digests.bytes_held == 0
