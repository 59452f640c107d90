# SPDX-License-Identifier: Apache-2.0
"""aider, whose own words and the user's are all text: sessions, prompts, reports, its editor."""

from __future__ import annotations

from typing import Any

import pytest

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, AgentFacts
from heron_otel.records.wire import LlmCall
from tests.support.agent_calls import Item, assistant, call, system, user
from tests.support.turns import run

CODER = "Act as an expert software developer.\nAlways ..."
ARCHITECT = "Act as an expert architect engineer and ..."
EDITOR = "Act as an expert software developer who edits source code.\n..."
RULES = "# *SEARCH/REPLACE block* Rules:\n\n"
REMINDER = f"{RULES}Every *SEARCH/REPLACE block* must use this format: ..."
FILES = "I have *added these files to the chat* so you can go ahead and edit them.\n\na.py"
ACCEPTED = "Ok, any changes I propose will be to those files."
PLAN = "Replace the word moon by the word sun in a.py."
FAILED = "# 1 SEARCH/REPLACE block failed to match!\n\n## SearchReplaceNoExactMatch: This ..."


def map_of(*names: str) -> list[Item]:
    """Return the exchange about the repository, which changes with it."""
    text = "Here are summaries of some files present in my git repository.\n" + "\n".join(names)
    return [user(text), assistant("Ok, I won't try and edit those files without asking first.")]


def files() -> list[Item]:
    return [user(FILES), assistant(ACCEPTED)]


def asks(items: list[Item], start: float, text: str, lead: str = CODER, **more: Any) -> LlmCall:
    more.setdefault("system_texts", [lead])
    more.setdefault("offered", None)
    return call(items, start, start + 0.2, text=text, name=f"{lead}{items[-1]}", **more)


def facts(of: LlmCall) -> AgentFacts:
    (record,) = AgentCalls().feed(of)
    assert isinstance(record, AgentCall)
    return record.facts


FIRST = asks([*map_of("b.py"), *files(), user("Greet.")], 0, "print(1)")
SECOND = asks(
    [*map_of("b.py", "c.py"), user("Greet."), assistant("print(1)"), user("I committed ..."),
     assistant("Ok."), *files(), user("Why?"), system(REMINDER)], 5, "Because.")  # fmt: skip


def test_session_begins_behind_what_the_client_says_of_the_repository() -> None:
    out = run([FIRST, SECOND])
    assert [turn.user_text for turn in out.turns] == ["Greet.", "Why?"]
    assert len({turn.key.session_id for turn in out.turns}) == 1


def test_two_programs_on_one_repository_are_two_sessions() -> None:
    other = asks([*map_of("b.py"), *files(), user("Leave.")], 2, "print(2)")
    assert len({turn.key.session_id for turn in run([FIRST, other]).turns}) == 2


@pytest.mark.parametrize("example", ["Change get_factorial() to use math.factorial", CODER])
def test_examples_and_a_system_text_of_the_user_are_no_history(example: str) -> None:
    examples = [user(example), assistant("..."),
                user("I switched to a new code base. Please don't consider the above files"
                     " or try to edit them any longer."),
                assistant("Ok.")]  # fmt: skip
    found = facts(asks([*examples, *files(), user("Greet.")], 0, "print(1)"))
    assert found.task_texts == ("Greet.",)
    assert found.session_id == facts(FIRST).session_id


def test_reminder_behind_a_prompt_is_not_of_the_user() -> None:
    reminded = facts(asks([*files(), user(f"Greet.\n\n{REMINDER}")], 0, "print(1)"))
    assert reminded.user_text == "Greet."
    assert reminded.session_id == facts(FIRST).session_id


@pytest.mark.parametrize(
    ("prompt", "trailer"),
    [
        ("Greet.", f"\n\n{REMINDER}\n\nReply in English.\n"),
        ("Greet.", "\n\nReply in Chinese (Simplified).\n"),
        ("Greet.", "\n\n\nNEVER RETURN CODE!\n"),
        ("Greet.\n\nReply in the style of Knuth and use a.txt", ""),
        ("Greet.\n\nReply in French.\n\nAnd in Greek.", "\n\nReply in English.\n"),
        (f"What does this mean?\n\n{RULES}And this?", f"\n\n{REMINDER}"),
        ("Why this?\n\nYou are diligent and tireless!\nAnd this?", ""),
    ],
)
def test_prompt_is_cut_only_before_what_the_client_puts_behind_it(
    prompt: str, trailer: str
) -> None:
    assert facts(asks([*files(), user(prompt + trailer)], 0, "x")).user_text == prompt


SHARES_NONE = "I am not sharing any files that you can edit yet."


@pytest.mark.parametrize("before", [[], files()])
@pytest.mark.parametrize("prompt", ["I am not sharing any files today, tell a joke.", SHARES_NONE])
def test_first_prompt_that_reads_like_the_client_is_the_user_s(
    prompt: str, before: list[Item]
) -> None:
    first = asks([*before, user(prompt)], 0, "A joke.")
    assert [turn.user_text for turn in run([first]).turns] == [prompt]
    if prompt != SHARES_NONE:
        later = asks([user(prompt), assistant("A joke."), *files(), user("More.")], 5, "Another.")
        out = run([first, later])
        assert [turn.user_text for turn in out.turns] == [prompt, "More."]
        assert len({turn.key.session_id for turn in out.turns}) == 1


def test_answer_behind_that_to_the_files_is_of_the_conversation() -> None:
    found = facts(asks([user(SHARES_NONE), assistant("Ok."), user("Greet.")], 0, "print(1)"))
    assert found.session_id == facts(FIRST).session_id


@pytest.mark.parametrize("prefix", ["", "Formatting re-enabled. \n"])
def test_model_without_system_text_has_the_marks_in_its_first_item(prefix: str) -> None:
    items = [user(prefix + ARCHITECT), *files(), user("Greet.")]
    found = facts(asks(items, 0, PLAN, system_texts=[]))
    assert (found.agent_name, found.user_text) == ("aider", "Greet.")
    assert [(each.index, each.prompt, each.name) for each in found.spawns] == [
        (None, PLAN, "editor")
    ]


@pytest.mark.parametrize(
    "report",
    [
        FAILED,
        "\n# Fix any errors below, if possible.\n\nTraceback ...",
        "I ran this command:\n\nmake test\n\nAnd got this output:\n\n...",
        "I ran this command:\n\ngrep -q moon a.py\n\nAnd got this output:\n\n\n",
        "I added these files to the chat: c.py\nLet me know if there are others we should add.",
        "I have updated the set of files added to the chat.\nReview them to decide if this is ...",
        "UnifiedDiffNoMatch: hunk failed to apply!\n...",
        "a.py\n<<<<<<< SEARCH\n^^^ Expected `=======`",
    ],
)
def test_report_of_the_client_goes_on_with_the_turn(report: str) -> None:
    again = asks([user("Greet."), assistant("print(1)"), *files(), user(report)], 20, "print(2)")
    (turn,) = run([FIRST, again]).turns
    assert (turn.calls, turn.user_text, turn.answer_text) == (2, "Greet.", "print(2)")
    assert facts(again).report


@pytest.mark.parametrize(
    "prompt",
    [
        "I ran this command: make, and it fails, why?",
        "I added these files to the chat: are they the right ones?",
        "I have updated the set of files added to the chat. Do you see them?",
        "UnifiedDiff is what?",
        "# Fix any errors below, if possible. And say why.",
        "# The SEARCH/REPLACE block failed to match! Why?",
        "Mend this:\nlet x = ;\n^^^ expected expression",
    ],
)
def test_prompt_in_words_like_those_of_a_report_is_the_user_s(prompt: str) -> None:
    again = asks([user("Greet."), assistant("print(1)"), *files(), user(prompt)], 20, "print(2)")
    assert [turn.user_text for turn in run([FIRST, again]).turns] == ["Greet.", prompt]


def test_plan_of_the_architect_is_the_task_of_its_editor() -> None:
    plan = asks([*files(), user("Greet.")], 0, PLAN, ARCHITECT)
    edits = asks([*files(), user(PLAN), system(REMINDER)], 0.3, "print(1)", EDITOR)
    fixes = asks([user(PLAN), assistant("print(1)"), *files(), user(FAILED)], 1, "print(2)", EDITOR)
    later = asks([user("Greet."), assistant(PLAN), *files(), user("Why?")], 9, "So.", ARCHITECT)
    out = run([plan, edits, fixes, later])
    assert [(turn.calls, turn.status, turn.subagents) for turn in out.turns] == [
        (3, "complete", ("editor",)),
        (1, "complete", ()),
    ]
    (editor,) = out.subagents
    assert (editor.name, editor.calls, editor.tool_run) == ("editor", 2, None)


def test_equal_plans_have_an_editor_each() -> None:
    calls = []
    for start in (0, 10):
        before = [user("Greet."), assistant(PLAN)] if start else []
        prompt = "Again." if start else "Greet."
        plan = asks([*before, *files(), user(prompt)], start, PLAN, ARCHITECT)
        calls += [plan, asks([*files(), user(PLAN)], start + 0.3, "print(1)", EDITOR)]
    out = run(calls)
    assert [(turn.calls, turn.subagents) for turn in out.turns] == [(2, ("editor",))] * 2
    assert [each.calls for each in out.subagents] == [1, 1]


def test_summary_of_a_summary_is_of_the_same_session() -> None:
    summary = "*Briefly* summarize this partial conversation about programming."
    words = "I asked you to greet the moon in a.py and you did so."
    shown = asks([user("# USER\nGreet the moon!\n# ASSISTANT\nprint('moon')")], 1, words, summary)
    again = asks([user(f"# USER\nI spoke to you previously ...\n{words}")], 2, "Short.", summary)
    out = run([asks([user("Greet the moon!")], 0, "print('moon')"), shown, again])
    (turn,) = out.turns
    assert turn.auxiliary_calls == 2
