# SPDX-License-Identifier: Apache-2.0
"""The real aider against the scripted server: edits that fail, tests, an editor, a summary.

It runs on a private network with a private home and keys that are none. Its captures hold the
prompts of its authors, so they live in a temporary folder that is removed.
"""

from __future__ import annotations

import pytest

from tests.support.ground_truth import Entry, Span, chat_spans, differences
from tests.support.llm_answers import Asked, Plain, Reply, Tokens, say
from tests.support.npm_clients import PORT, observe
from tests.support.pypi_clients import install
from tests.support.turn_shapes import counts, in_sessions, outline, sessions_of

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

GREET, ASK, LATER, PAINT = (
    *("Greet the moon in hello.py", "What does it print?", "And why does it?"),
    "Print a colour.",
)
PLAN = "Replace the word world by the word green in hello.py."
SUMMARY = "I asked you to greet the moon in hello.py.\nYou changed the print call there."
QUIET = (
    *("--yes-always", "--no-fancy-input", "--no-pretty", "--no-check-update"),
    *("--no-show-release-notes", "--no-show-model-warnings", "--no-detect-urls", "--no-gitignore"),
    *("--analytics-disable", "--no-suggest-shell-commands"),
)
REPOSITORY = """
git init -q . && git config user.name n && git config user.email n@example.org
printf 'print("world")\\n' > hello.py && git add hello.py && git commit -qm one
"""
CHAT, EDITOR, WEAK = "chat gpt-4o", "chat o3-mini", "chat gpt-4o-mini"
ARCHITECT = "chat claude-sonnet-4-5"


def edit(before: str, after: str) -> str:
    """Return an answer with a change that aider applies if ``before`` is a line of the file."""
    blocks = f"<<<<<<< SEARCH\n{before}\n=======\n{after}\n>>>>>>> REPLACE"
    return f"hello.py\n```python\n{blocks}\n```\n"


def script(asked: Asked) -> Reply:
    if asked.wire_api is None:
        return Plain(status=404, body={})
    messages = asked.body["messages"]
    lead = str(asked.body.get("system", messages[0]["content"]))
    prompt = str([each for each in messages if each["role"] == "user"][-1]["content"])
    if "one-line Git commit" in lead:
        return say("feat: print another word", tokens=Tokens(input=120, output=6))
    if "summarize this partial conversation" in lead:
        return say(SUMMARY, tokens=Tokens(input=300, output=20))
    answers = {
        GREET: edit('print("nothing")', 'print("moon")'),  # which the file does not have
        "failed to match": "Sorry.\n\n" + edit('print("world")', 'print("mars")'),
        "I ran this command": edit('print("mars")', 'print("moon")'),  # the tests failed
        PLAN: edit('print("world")', 'print("green"'),
        "Fix any errors below": edit('print("green"', 'print("green")'),
        PAINT: PLAN,
        ASK: "It prints a word that names a celestial body.",
        LATER: "Because you asked me to.",
    }
    text = next(text for mark, text in answers.items() if mark in prompt)
    return say(text, tokens=Tokens(input=900, output=40, cache_read=256))


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Entry], list[Span]]:
    command = install("aider", "aider", "aider-chat")

    def run(prompts: str, *arguments: str, before: str = "") -> list[str]:
        line = " ".join(map(str, (command, *QUIET, *arguments, "hello.py", f"< ~/{prompts}")))
        return ["/bin/sh", "-euc", f"{before}\n{line}"]

    openai = ("--model openai/gpt-4o", "--weak-model openai/gpt-4o-mini")
    # Longer than the grace of event time, however slow the machine is.
    tests = "--auto-test --test-cmd 'sleep 1.5; grep -q moon hello.py'"
    again = "--restore-chat-history --max-chat-history-tokens 5"
    models = (
        *("--model anthropic/claude-sonnet-4-5", "--weak-model anthropic/claude-haiku-4-5"),
        *("--architect", "--editor-model openai/o3-mini", "--no-stream"),
    )
    start = REPOSITORY.strip().replace("\n", " && ")
    return observe(
        tmp_path_factory.mktemp("aider") / "run",
        script,
        run("first", *openai, tests, before=start),
        run("second", *openai, again),
        run("third", *models, before=f"mkdir other && cd other && {start}"),
        environment={
            "OPENAI_API_KEY": "sk-dummy-not-a-key",
            "OPENAI_API_BASE": f"http://127.0.0.1:{PORT}/v1",
            "ANTHROPIC_API_KEY": "sk-ant-dummy-not-a-key",
            "ANTHROPIC_API_BASE": f"http://127.0.0.1:{PORT}",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        files={
            "first": f"{GREET}\n{ASK}\n",
            "second": f"{LATER}\n",
            "third": f"{PAINT}\n/ask {ASK}\n",
        },
    )


def test_every_call_is_reported_as_sent(observed: tuple[list[Entry], list[Span]]) -> None:
    log, spans = observed
    assert differences(log, spans) == []
    assert {span["attributes"].get("gen_ai.agent.name") for span in chat_spans(spans)} == {"aider"}
    assert len(sessions_of(spans)) == 2


def test_what_the_client_reports_on_an_answer_stays_in_its_turn(
    observed: tuple[list[Entry], list[Span]],
) -> None:
    """An edit that does not apply at once, tests that fail after a while."""
    _, spans = observed
    first, second, _ = sessions_of(spans)[0]
    assert counts(first) == ("aider", "complete", 3, 0, 2)
    assert outline(spans, first) == [CHAT, CHAT, "commit_message", CHAT, "commit_message"]
    assert counts(second)[:3] == ("aider", "complete", 1)
    assert outline(spans, second)[:1] == [CHAT]


def test_session_goes_on_from_a_summary_in_another_process(
    observed: tuple[list[Entry], list[Span]],
) -> None:
    _, spans = observed
    _, second, third = sessions_of(spans)[0]
    assert counts(third)[:3] == ("aider", "complete", 1)
    # The summary is asked for while the process starts, before there is a prompt.
    assert "compaction" in [*outline(spans, second), *outline(spans, third)]
    kinds = [span["attributes"].get("heron.call.auxiliary_kind") for span in chat_spans(spans)]
    assert kinds.count("compaction") >= 1
    assert len(in_sessions(chat_spans(spans))) == 2


def test_editor_of_the_architect_is_its_sub_agent(
    observed: tuple[list[Entry], list[Span]],
) -> None:
    """The plan is its task; it is reminded of its errors by the client."""
    _, spans = observed
    first, second = sessions_of(spans)[1]
    assert counts(first) == ("aider", "complete", 3, 0, 2)
    editor = ["invoke_agent editor", [EDITOR, "commit_message", EDITOR, "commit_message"]]
    assert outline(spans, first) == [ARCHITECT, editor]
    assert outline(spans, second) == [ARCHITECT]
