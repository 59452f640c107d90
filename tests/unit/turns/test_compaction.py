# SPDX-License-Identifier: Apache-2.0
"""Conversations without an id on the wire that are summarised, resumed, forked, interrupted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall
from heron_otel.turns import TurnLimits
from tests.support.agent_calls import announced, asks, assistant, call, results, tool_use, user
from tests.support.turns import Turns, run

LINES = (
    "The user wants the parser to read tabs as blanks.",
    "src/parser.py was changed, the tests of it are green.",
    "Next: the same for the writer in src/writer.py.",
)
SUMMARY = "\n".join(LINES)
TASK = "Summarize the conversation above for the next model."
ASKED = "Read tabs as blanks in the parser."
SAID = "Tabs are blanks in the parser now."
TOOL = "call_MainMainMainMa1"
KEPT_TOOL = "call_MainMainMainMa2"


def agent(items: Any, start: float, **more: Any) -> LlmCall:
    more.setdefault("name", str(items))
    return call(items, start, start + 0.2, **more)


def before() -> list[LlmCall]:
    """Return a turn with one tool run."""
    return [
        agent([user(ASKED)], 0.0, tools=[asks(TOOL)]),
        agent([user(ASKED), assistant(tool_use(TOOL)), results((TOOL, "x"))], 1.0, text=SAID),
    ]


HISTORY = [user(ASKED), assistant(tool_use(TOOL)), results((TOOL, "x")), assistant(SAID)]


def in_history(**more: Any) -> LlmCall:
    """Return a summary asked for behind the history itself (Gemini CLI, Qwen Code)."""
    more.setdefault("text", SUMMARY)
    return agent([*HISTORY, user(TASK)], 10.0, offered=None, **more)


def as_transcript(prompt: str = TASK, **more: Any) -> LlmCall:
    """Return a summary asked for with a transcript in the prompt (aider, LangChain)."""
    text = f"{prompt}\n\n" + "\n".join(
        f"# {line}" for line in ("old " * 200, ASKED, SAID, "x " * 400)
    )
    more.setdefault("text", SUMMARY)
    return agent([user(text)], 10.0, offered=None, **more)


def as_extract() -> LlmCall:
    """Return a summary asked for in the words of LangChain."""
    words = "Your objective is to extract the most relevant context from the history below. "
    return as_transcript(words + "Keep it short. " * 40)


NEXT = user("Now the writer.")
OPENINGS = {
    "summary, acknowledged": [user(f"So far:\n{SUMMARY}"), assistant("Ok."), NEXT],
    "summary, then the prompt": [user(f"<summary>{SUMMARY}</summary>"), NEXT],
    "thoughts cut off": [
        user("\n".join(LINES[1:])), assistant("Got it."), NEXT
    ],
}  # fmt: skip


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
@pytest.mark.parametrize("summarise", [in_history, as_transcript, as_extract])
def test_session_goes_on_after_its_history_was_summarised(summarise: Any, opening: Any) -> None:
    summary = summarise()
    after = agent(opening, 20.0, tools=[asks(KEPT_TOOL)])
    done = agent(
        [*opening, assistant(tool_use(KEPT_TOOL)), results((KEPT_TOOL, "y"))], 21.0, text="Done."
    )
    out = run([*before(), summary, after, done])
    first, second = out.turns
    assert first.key.session_id == second.key.session_id
    assert (second.index, second.previous) == (1, first.key.key)
    assert (second.user_text, second.calls, second.status) == ("Now the writer.", 2, "complete")
    facts = out.place_of(summary).agent_call.facts
    assert (facts.role, facts.auxiliary_kind) == ("auxiliary", "compaction")
    assert facts.session_id == first.key.session_id


def test_summaries_that_share_lines_are_told_apart_by_the_others() -> None:
    other_asked, other_said = "Read blanks as tabs in the writer.", "Blanks are tabs now."
    other = [user(other_asked), assistant(other_said)]
    shared = f"The other project is not touched at all.\n{LINES[1]}\n{LINES[2]}"
    opening = OPENINGS["summary, acknowledged"]
    out = run([
        *before(),
        agent(other[:1], 2.0, text=other_said),
        in_history(),
        agent([*other, user(TASK)], 11.0, offered=None, text=shared),
        agent(opening, 20.0, text="Done."),
        agent([user(shared), *opening[1:]], 21.0, text="Done there."),
    ])  # fmt: skip
    sessions = {turn.answer_text: turn.key.session_id for turn in out.turns}
    assert sessions["Done."] == sessions[SAID]
    assert sessions["Done there."] == sessions[other_said]
    assert len(set(sessions.values())) == 2


def test_session_is_summarised_twice() -> None:
    again = "\n".join(f"{line} And the writer too." for line in LINES)
    opening = OPENINGS["summary, acknowledged"]
    second = agent(
        [*opening, assistant("Writer done."), user(TASK)], 30.0, offered=None, text=again
    )
    last = [user(f"So far:\n{again}"), assistant("Ok."), user("Now the docs.")]
    out = run([
        *before(), in_history(), agent(opening, 20.0, text="Writer done."), second,
        agent(last, 40.0, text="Docs done."),
    ])  # fmt: skip
    assert [turn.user_text for turn in out.turns] == [ASKED, "Now the writer.", "Now the docs."]
    assert len({turn.key.session_id for turn in out.turns}) == 1


def test_summary_inside_a_turn_is_no_prompt() -> None:
    first = before()[0]
    opening = [user(f"Go on from this:\n{SUMMARY}")]
    out = run([
        first,
        agent([*HISTORY[:3], user(TASK)], 1.0, offered=None, text=SUMMARY),
        agent(opening, 2.0, tools=[asks(KEPT_TOOL)]),
        agent([*opening, assistant(tool_use(KEPT_TOOL)), results((KEPT_TOOL, "y"))], 3.0,
              text=SAID),
    ])  # fmt: skip
    (turn,) = out.turns
    assert (turn.calls, turn.auxiliary_calls, turn.tool_calls) == (3, 1, 2)
    assert (turn.status, turn.user_text) == ("complete", ASKED)


def test_summary_behind_a_closed_turn_opens_the_next() -> None:
    opening = [user(f"{SUMMARY}\n\nNow the writer.")]
    out = run([*before(), in_history(), agent(opening, 20.0, text="Done.")])
    first, second = out.turns
    assert (second.previous, second.calls) == (first.key.key, 1)


def test_history_of_a_sub_agent_is_summarised() -> None:
    work = [user("Count the files here."), assistant(tool_use(TOOL)), results((TOOL, "x"))]
    opening = [user(f"Go on:\n{SUMMARY}")]
    out = run([
        agent([user("go")], 0.0, tools=[asks(KEPT_TOOL, "agent", prompt="Count the files here.")]),
        agent(work[:1], 1.0, tools=[asks(TOOL)]),
        agent([*work, user(TASK)], 2.0, offered=None, text=SUMMARY),
        agent(opening, 3.0, text="42"),
        agent([user("go"), assistant(tool_use(KEPT_TOOL, "agent")), results((KEPT_TOOL, "42"))],
              4.0, text="It is 42."),
    ])  # fmt: skip
    (turn,) = out.turns
    assert (turn.calls, turn.auxiliary_calls) == (4, 1)
    assert [each.calls for each in out.subagents] == [2]


@pytest.mark.parametrize(
    "change",
    [{"client": "10.0.0.9"}, {"headers": {"user-agent": "QwenCode/0.24"}}, {"source": "pcap/b"}],
)
def test_only_the_same_agent_at_the_same_address_goes_on(change: dict[str, Any]) -> None:
    after = agent(OPENINGS["summary, acknowledged"], 20.0, text="Done.", **change)
    out = run([*before(), in_history(), after])
    assert len({turn.key.session_id for turn in out.turns}) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"prompt": "Translate what follows."},  # a program that flattens its history
        {"prompt": TASK, "offered": ("Bash",)},
    ],
)
def test_prompt_that_holds_earlier_words_is_no_side_call_by_itself(more: dict[str, Any]) -> None:
    prompt, offered = more["prompt"], more.get("offered")
    text = f"{prompt}\n{ASKED}\n{SAID}" + "x " * 400
    other = agent([user(text)], 10.0, offered=offered, text=SUMMARY)
    out = run([*before(), other])
    assert [turn.calls for turn in out.turns] == [2, 1]


def test_user_who_asks_an_agent_for_a_summary_has_asked_a_prompt() -> None:
    ask = agent([*HISTORY, user(TASK)], 10.0, text=SUMMARY)  # the agent offers its tools
    out = run([*before(), ask])
    assert [turn.user_text for turn in out.turns] == [ASKED, TASK]


def test_title_asked_with_a_transcript_is_beside_its_session() -> None:
    title = as_transcript("Write a title of three words for this chat.", text="Tabs as blanks")
    out = run([*before(), title])
    assert len(out.turns) == 1
    facts = out.place_of(title).agent_call.facts
    assert (facts.role, facts.auxiliary_kind) == ("auxiliary", "title")


def test_session_resumed_after_hours_is_the_same() -> None:
    resumed = agent([*HISTORY, user("Now the writer.")], 40_000.0, text="Done.")
    out = run([*before(), resumed])
    first, second = out.turns
    assert (first.key.session_id, second.index) == (second.key.session_id, 1)


def test_answer_generated_again_is_another_turn_of_the_session() -> None:
    ask = [*HISTORY, user("Now the writer.")]
    out = run([
        *before(),
        agent(ask, 10.0, text="Done."),
        agent(ask, 20.0, text="Done another way.", name="again"),
        agent([*HISTORY, user("No, the reader.")], 30.0, text="Reader done."),
    ])  # fmt: skip
    assert [turn.answer_text for turn in out.turns] == [
        *(SAID, "Done.", "Done another way.", "Reader done.")
    ]
    assert len({turn.key.session_id for turn in out.turns}) == 1


def test_interrupted_answer_and_the_next_prompt_are_two_turns_of_one_session() -> None:
    cut = agent(
        [*HISTORY, user("Now the writer.")], 10.0, text="I wi", stop=None, error="cancelled",
        exchange_end=ExchangeEnd.RESET,
    )  # fmt: skip
    next_prompt = [*HISTORY, user("Now the writer."), assistant("I wi"), user("No, the reader.")]
    out = run([*before(), cut, agent(next_prompt, 15.0, text="Reader done.")])
    assert [turn.status for turn in out.turns] == ["complete", "cancelled", "complete"]
    assert len({turn.key.session_id for turn in out.turns}) == 1


def test_summaries_and_conversations_are_bounded_and_counted() -> None:
    out = Turns(TurnLimits(max_conversations=3))
    for index in range(5):
        ask = [user(f"{ASKED} {index}"), assistant(f"{SAID} {index}")]
        client = f"10.0.0.{index}"
        out.feed(agent(ask[:1], 100.0 * index, text=f"{SAID} {index}", client=client))
        out.feed(agent([*ask, user(TASK)], 100.0 * index + 10, offered=None, client=client,
                       text=f"{SUMMARY} {index}"))  # fmt: skip
    counters = out.tracker.counters
    assert (counters["conversations_limit"], counters["summaries_limit"]) == (2, 2)
    assert out.tracker.held["conversations"] == 6
    out.finish()
    assert len(out.placed) == 10
    assert not any(out.tracker.held.values())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())
def test_announcements_change_nothing(told: list[bool], flat: bool) -> None:
    opening = OPENINGS["summary, acknowledged"]
    summary = as_transcript() if flat else in_history()
    calls = [*before(), summary, agent(opening, 20.0, text="Done.")]
    moments = (0.1, 1.1, 10.1, 20.1)
    early = [
        announced(each, at) for each, at, tell in zip(calls, moments, told, strict=True) if tell
    ]
    assert run([*calls, *early]).turns == run(calls).turns
