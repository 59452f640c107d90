# SPDX-License-Identifier: Apache-2.0
"""Later calls hold earlier ones when their history says what those asked and answered."""

from __future__ import annotations

import pytest

from heron_otel.records.wire import Json
from heron_otel.training.history import Head, Heads, Ref, Sign, make_head, sign

Message = dict[str, Json]


def say(role: str, *texts: str, thought: str = "") -> Message:
    parts: list[Json] = [{"type": "reasoning", "content": thought}] if thought else []
    parts.extend({"type": "text", "content": text} for text in texts)
    return {"role": role, "parts": parts}


def calls(identity: str, thought: str = "") -> Message:
    part: Json = {
        "type": "tool_call",
        "id": identity,
        "name": "Bash",
        "arguments": {"b": 1, "a": 2},
    }
    parts: list[Json] = [{"type": "reasoning", "content": thought}] if thought else []
    return {"role": "assistant", "parts": [*parts, part]}


class Conversation:
    """Adds calls and says which of them no other holds."""

    def __init__(self) -> None:
        self.bodies: dict[Ref, Message] = {}
        self.signs: dict[Ref, Sign] = {}
        self.heads = Heads(self.signs)

    def call(
        self,
        name: str,
        *asked: Message,
        answer: Message | None,
        lane: str = "",
        is_broken: bool = False,
    ) -> None:
        head = make_head(
            name,
            lane,
            [self._ref(message) for message in asked],
            None if answer is None else self._ref(answer),
            self.signs,
            is_broken=is_broken,
        )
        self.heads.add(head)

    def _ref(self, message: Message) -> Ref:
        ref = ("", repr(message))
        self.bodies[ref] = message
        self.signs[ref] = sign(message)
        return ref

    def left(self) -> list[str]:
        return [head.call_id for head in self.heads.heads]

    def messages(self, head: Head) -> tuple[list[Message], int]:
        refs, restored = self.heads.messages(head)
        return [self.bodies[ref] for ref in refs], restored


ASK, MORE = say("user", "list files"), say("user", "and hidden ones?")
RESULT: Message = {
    "role": "tool",
    "parts": [{"type": "tool_call_response", "id": "c", "response": "a.txt"}],
}
DONE = say("assistant", "a.txt")


def test_last_call_of_a_resent_history_is_left_alone() -> None:
    seen = Conversation()
    seen.call("1", ASK, answer=calls("c"))
    seen.call("2", ASK, calls("c"), RESULT, answer=DONE)
    seen.call("3", ASK, calls("c"), RESULT, DONE, MORE, answer=say("assistant", ".b"))
    assert seen.left() == ["3"]
    assert seen.heads.heads[0].held == ["1", "2"]


def test_answer_that_came_back_without_its_reasoning_is_restored() -> None:
    seen = Conversation()
    seen.call("1", ASK, answer=calls("c", thought="hm"))
    seen.call("2", ASK, calls("c"), RESULT, answer=DONE)
    messages, restored = seen.messages(seen.heads.heads[0])
    assert messages == [ASK, calls("c", thought="hm"), RESULT, DONE]
    assert restored == 1


def test_answer_in_several_items_is_restored_as_one() -> None:
    seen = Conversation()
    answer: Message = {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "hm"},
            {"type": "text", "content": "I look."},
            {"type": "tool_call", "id": "c", "name": "Bash", "arguments": {"b": 1, "a": 2}},
        ],
    }
    seen.call("1", say("developer", "brief"), ASK, answer=answer)
    seen.call(
        "2",
        say("developer", "brief"),
        ASK,
        say("assistant", "I look."),
        calls("c"),
        RESULT,
        answer=DONE,
    )
    assert seen.left() == ["2"]
    messages, restored = seen.messages(seen.heads.heads[0])
    assert messages == [say("developer", "brief"), ASK, answer, RESULT, DONE]
    assert restored == 1


def test_reminders_and_ids_that_change_do_not_hide_a_history() -> None:
    seen = Conversation()
    seen.call("1", say("user", "reminder 1", "list files"), answer=calls("c"))
    seen.call("2", ASK, calls("other"), RESULT, answer=DONE)
    assert seen.left() == ["2"]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param((say("user", "summary of all"),), id="compacted"),
        pytest.param((say("user", "list pages"), calls("c"), RESULT), id="another question"),
        pytest.param((ASK, say("assistant", "no"), RESULT), id="another answer"),
        pytest.param((ASK,), id="asked again"),
    ],
)
def test_call_whose_words_are_not_in_a_later_one_is_kept(asked: tuple[Message, ...]) -> None:
    seen = Conversation()
    seen.call("1", ASK, answer=calls("c"))
    seen.call("2", *asked, answer=DONE)
    assert seen.left() == ["1", "2"]


def test_broken_answer_is_held_by_the_same_question() -> None:
    seen = Conversation()
    seen.call("1", ASK, answer=say("assistant", "a."), is_broken=True)
    seen.call("2", ASK, answer=DONE)
    assert seen.left() == ["2"]


def test_agents_do_not_hold_each_other() -> None:
    seen = Conversation()
    seen.call("1", ASK, answer=DONE, lane="helper")
    seen.call("2", ASK, DONE, MORE, answer=DONE)
    assert seen.left() == ["1", "2"]


def test_parallel_conversations_of_a_session_keep_their_own_calls() -> None:
    seen = Conversation()
    seen.call("a1", say("user", "a"), answer=say("assistant", "A"))
    seen.call("b1", say("user", "b"), answer=say("assistant", "B"))
    seen.call("a2", say("user", "a"), say("assistant", "A"), MORE, answer=DONE)
    seen.call("b2", say("user", "b"), say("assistant", "B"), MORE, answer=DONE)
    assert seen.left() == ["a2", "b2"]


def test_message_of_any_form_has_a_sign() -> None:
    for body in (None, 1, [], {}, {"role": 1, "parts": "x"}, {"role": "assistant", "parts": [1]}):
        assert isinstance(sign(body), Sign)
