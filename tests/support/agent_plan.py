# SPDX-License-Identifier: Apache-2.0
"""Scripts for real agents: what the model does is planned per prompt, step by step."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from tests.support.llm_answers import Asked, Json, Plain, Reply, ToolUse, act, say
from tests.support.llm_server import Script

FIRST, SECOND = "Print a word.", "Print it again."
TASK = "Count the files here."
Plan = Mapping[str, Sequence[Reply | Sequence[Reply]]]
TITLE = '{"title": "Weather station"}'


def planned(plan: Plan) -> Script:
    """Return a script that follows ``plan``.

    A key is the bare text of a prompt (of a user, or the task of a sub-agent), with which a text
    part ends, quoted or not; its value the model's steps after that prompt; the step of a request
    is the number of assistant messages after the prompt. A step that is a sequence gives its
    replies to one attempt after another. A request without tools gets a title.
    """
    lock = threading.Lock()
    attempts: dict[tuple[str, int], int] = {}

    def script(asked: Asked) -> Reply:
        if asked.method == "GET":
            return Plain(status=404, body={})
        if not asked.body.get("tools"):
            return say(TITLE)
        prompt, number = _position(asked.body["messages"], plan)
        step = plan[prompt][number]
        if not isinstance(step, Sequence):
            return step
        with lock:
            attempt = attempts.get((prompt, number), 0)
            attempts[prompt, number] = attempt + 1
        return step[attempt]

    return script


def _position(messages: Sequence[Json], plan: Plan) -> tuple[str, int]:
    """Return the last planned prompt and the assistant messages after it."""
    after = 0
    for message in reversed(messages):
        if message["role"] == "assistant":
            after += 1
            continue
        if message["role"] != "user":
            continue
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            text = part.get("text", "").strip().strip('"') if part["type"] == "text" else ""
            for prompt in plan:
                if text.endswith(prompt):
                    return prompt, after
    raise AssertionError("no planned prompt in the request")


def delegation(command: str, arguments: Json, spawn: str, task: Json) -> Plan:
    """Return a plan of two prompts: a command and a sub-agent that runs a command, and an answer.

    ``command`` runs what ``arguments`` say, ``spawn`` hands over the ``task`` with ``TASK`` in it.
    """
    return {
        FIRST: [
            act(ToolUse(id="callAbCdEfGh12345678", name=command, arguments=arguments)),
            act(ToolUse(id="calltask123456789012", name=spawn, arguments=task)),
            say("The helper counted 42."),
        ],
        TASK: [
            act(ToolUse(id="callsub1234567890ab", name=command, arguments=arguments)),
            say("There are 42."),
        ],
        SECOND: [say("Printed again.")],
    }
