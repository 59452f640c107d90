# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.wire import Json
from heron_otel.wire.openai_responses_items import item_call, needs_client, normalise_item

CALLS: list[tuple[dict[str, Json], str, Json, bool]] = [
    (
        {"type": "function_call", "call_id": "c", "name": "read", "arguments": '{"a":1}'},
        "read",
        {"a": 1},
        True,
    ),
    ({"type": "function_call", "call_id": "c", "name": "read", "arguments": ""}, "read", {}, True),
    (
        {"type": "custom_tool_call", "call_id": "c", "name": "apply", "input": "*** x"},
        "apply",
        "*** x",
        True,
    ),
    (
        {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}},
        "local_shell",
        {"type": "exec", "command": ["ls"]},
        True,
    ),
    (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
        "shell",
        {"commands": ["ls"]},
        True,
    ),
    (
        {
            "type": "shell_call",
            "id": "c",
            "call_id": "d",
            "action": {"commands": ["ls"]},
            "environment": {"type": "container_reference"},
        },
        "shell",
        {"commands": ["ls"]},
        False,
    ),
    (
        {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file"}},
        "apply_patch",
        {"type": "delete_file"},
        True,
    ),
    (
        {"type": "computer_call", "call_id": "c", "id": "x", "action": {"type": "click"}},
        "computer",
        {"action": {"type": "click"}},
        True,
    ),
    (
        {"type": "mcp_call", "id": "c", "name": "look", "arguments": "{}", "server_label": "s"},
        "look",
        {},
        False,
    ),
    (
        {"type": "web_search_call", "id": "c", "action": {"type": "search"}},
        "web_search",
        {"type": "search"},
        False,
    ),
    (
        {"type": "file_search_call", "id": "c", "queries": ["q"], "results": [{"x": 1}]},
        "file_search",
        {"queries": ["q"]},
        False,
    ),
    (
        {"type": "code_interpreter_call", "id": "c", "code": "1+1", "outputs": []},
        "code_interpreter",
        {"code": "1+1"},
        False,
    ),
    (
        {"type": "image_generation_call", "id": "c", "result": "aGVsbG8=", "size": "1x1"},
        "image_generation",
        {"size": "1x1"},
        False,
    ),
    ({"type": "later_call", "call_id": "c", "word": 1}, "later", {"word": 1}, True),
    ({"type": "later_call", "id": "c", "word": 1}, "later", {"word": 1}, False),
]


@pytest.mark.case(99)
@pytest.mark.parametrize(("item", "name", "arguments", "is_clients"), CALLS)
def test_tool_calls_are_told_apart_by_who_runs_them(
    item: dict[str, Json], name: str, arguments: Json, is_clients: bool
) -> None:
    call = item_call(item)
    assert (call.id, call.name, call.arguments) == ("c", name, arguments)
    assert call.server_side is not is_clients
    assert needs_client(item) is is_clients
    (made,) = normalise_item(item)
    assert made.role == "assistant"
    kind = "tool_call" if is_clients else "server_tool_call"
    assert made.parts[0]["type"] == kind


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"type": "function_call_output", "call_id": "c", "output": "done"},
            {"type": "tool_call_response", "id": "c", "response": "done"},
        ),
        (
            {
                "type": "custom_tool_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": "x"}],
            },
            {
                "type": "tool_call_response",
                "id": "c",
                "response": [{"type": "input_text", "text": "x"}],
            },
        ),
        (
            {"type": "local_shell_call_output", "id": "c", "output": "{}"},
            {"type": "tool_call_response", "id": "c", "response": "{}"},
        ),
        (
            {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "x"},
            {"type": "tool_call_response", "id": "c", "response": "x", "is_error": True},
        ),
        (
            {"type": "tool_search_output", "call_id": "c", "tools": [1]},
            {"type": "tool_call_response", "id": "c", "response": {"tools": [1]}},
        ),
        (
            {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True},
            {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True},
        ),
    ],
)
def test_results_of_the_client_are_tool_messages(item: Json, part: Json) -> None:
    (made,) = normalise_item(item)
    assert (made.role, made.parts) == ("tool", (part,))


@pytest.mark.parametrize(
    ("item", "response"),
    [
        (
            {"type": "mcp_call", "id": "c", "name": "f", "arguments": "{}", "output": "x"},
            {"type": "mcp_call", "output": "x"},
        ),
        (
            {"type": "file_search_call", "id": "c", "queries": [], "results": [1]},
            {"type": "file_search_call", "results": [1]},
        ),
        (
            {"type": "code_interpreter_call", "id": "c", "code": "1", "outputs": [1]},
            {"type": "code_interpreter_call", "outputs": [1]},
        ),
        (
            {"type": "image_generation_call", "id": "c", "result": "aGVsbG8="},
            {"type": "image_generation_call", "result_bytes": 5},
        ),
    ],
)
def test_results_of_the_server_stand_behind_their_call(item: Json, response: Json) -> None:
    (made,) = normalise_item(item)
    assert made.parts[1] == {
        "type": "server_tool_call_response",
        "id": "c",
        "server_tool_call_response": response,
    }


def test_reasoning_has_its_texts_and_the_encrypted_content() -> None:
    item: Json = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "short"}],
        "content": [{"type": "reasoning_text", "text": "long"}],
        "encrypted_content": "gAAAA",
    }
    (made,) = normalise_item(item)
    assert made.role == "assistant"
    assert made.parts == (
        {"type": "reasoning", "content": "long"},
        {"type": "reasoning", "content": "short"},
        {"type": "encrypted_reasoning", "encrypted_content": "gAAAA"},
    )


@pytest.mark.parametrize(
    ("part", "made"),
    [
        (
            {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
        ),
        (
            {"type": "input_image", "image_url": "https://example.org/x.png"},
            {"type": "uri", "modality": "image", "uri": "https://example.org/x.png"},
        ),
        (
            {"type": "input_image", "file_id": "file_1"},
            {"type": "file", "modality": "image", "file_id": "file_1"},
        ),
        (
            {"type": "input_file", "file_url": "https://example.org/x.pdf"},
            {"type": "uri", "modality": "document", "uri": "https://example.org/x.pdf"},
        ),
        ({"type": "refusal", "refusal": "no"}, {"type": "refusal", "content": "no"}),
        ({"type": "later", "x": 1}, {"type": "later", "x": 1}),
        ({"type": "input_file"}, {"type": "input_file"}),
    ],
)
def test_content_parts_have_the_form_of_the_conventions(part: Json, made: Json) -> None:
    (message,) = normalise_item({"role": "user", "content": [part]})
    assert message.parts == (made,)


@pytest.mark.parametrize("kind", ["compaction", "compaction_summary"])
def test_compaction_is_a_part_of_its_own(kind: str) -> None:
    (made,) = normalise_item({"type": kind, "id": "cmp_1", "encrypted_content": "x"})
    assert (made.role, made.parts) == (
        "assistant",
        ({"type": "compaction", "encrypted_content": "x"},),
    )


@pytest.mark.parametrize(
    ("item", "role"),
    [({"type": "item_reference", "id": "msg_1"}, "assistant"), ({"type": "x"}, "assistant")],
)
def test_items_of_unknown_types_keep_their_members(item: dict[str, Json], role: str) -> None:
    (made,) = normalise_item(item)
    assert (made.role, made.parts) == (role, (item,))


@pytest.mark.parametrize("item", [None, 7, [], True])
def test_what_is_no_item_gives_no_message(item: Json) -> None:
    assert normalise_item(item) == ()
