# SPDX-License-Identifier: Apache-2.0
"""What results of tools say about their runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.agents.tool_outcome import outcome_of
from heron_otel.records.agents import ToolError
from heron_otel.records.wire import Json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
STARTS = st.sampled_from(
    ("", "Exit code ", "Wall time: ", "Output:", '{"output":', '{"error":', "aborted by user", "[")
)


@pytest.mark.parametrize(
    ("result", "mark", "error", "exit_code", "reported_s"),
    [
        ("34 passed in 0.81s", None, None, None, None),
        ("34 passed in 0.81s", False, None, None, None),
        ("permission denied, says line 3 of the log", None, None, None, None),
        ("the manual of timeouts: command timed out after 3 s", None, None, None, None),
        ("1 failed in test_total", True, ToolError.OTHER, None, None),
        ("Exit code 1\nAssertionError", True, ToolError.EXIT_CODE, 1, None),
        ("Exit code 127\nbash: line 1: rgx: command not found", True, ToolError.NOT_FOUND, 127,
         None),
        ("Exit code 1\nls: cannot open directory '/root': Permission denied", True,
         ToolError.PERMISSION, 1, None),
        ("Exit code 124\n", None, ToolError.TIMEOUT, 124, None),
        ("Error: Command timed out after 2m 0.0s", True, ToolError.TIMEOUT, None, None),
        ("<tool_use_error>File does not exist.</tool_use_error>", True, ToolError.NOT_FOUND, None,
         None),
        ("<tool_use_error>InputValidationError: Read failed</tool_use_error>", True,
         ToolError.ARGUMENTS, None, None),
        ("<tool_use_error>Error: No such tool available: Frob</tool_use_error>", True,
         ToolError.NOT_FOUND, None, None),
        ("Permission to use Bash with command rm has been denied.", True, ToolError.PERMISSION,
         None, None),
        ("The user doesn't want to proceed with this tool use. It was rejected (eg.", True,
         ToolError.REJECTED, None, None),
        ("[Request interrupted by user for tool use]", True, ToolError.INTERRUPTED, None, None),
        ("Exit code: 0\nWall time: 0.4 seconds\nOutput:\nExit code 3", None, None, 0, 0.4),
        ("Exit code: 2\nWall time: 12 seconds\nOutput:\nusage: x", None, ToolError.EXIT_CODE, 2,
         12.0),
        ("Chunk ID: 1f\nWall time: 0.0510 seconds\nProcess exited with code 1\nOutput:\n", None,
         ToolError.EXIT_CODE, 1, 0.051),
        ("Wall time: 3.2 seconds\naborted by user", None, ToolError.INTERRUPTED, None, 3.2),
        ("aborted by user after 3.2s", None, ToolError.INTERRUPTED, None, None),
        ("exec command rejected by user", None, ToolError.REJECTED, None, None),
        ("command timed out after 10000 milliseconds", None, ToolError.TIMEOUT, None, None),
        ('{"output":"a\\n","metadata":{"exit_code":0,"duration_seconds":0.1}}', None, None, 0, 0.1),
        ('{"output":"b","metadata":{"exit_code":1,"duration_seconds":2}}', None,
         ToolError.EXIT_CODE, 1, 2.0),
        ('{"exit_code": 5, "output": "x"}', None, ToolError.EXIT_CODE, 5, None),
        ('{"error": "city not found"}', None, ToolError.NOT_FOUND, None, None),
        ('{"error": null, "rows": 3}', None, None, None, None),
        ('{"error": "", "rows": 3}', None, None, None, None),
        ({"error": "station closed"}, True, ToolError.OTHER, None, None),
        ({"error": "[Operation Cancelled] Reason: User denied execution."}, True,
         ToolError.REJECTED, None, None),
        ({"output": "Output: ok\nExit Code: 0"}, False, None, 0, None),
        ({"output": "Command: make\nOutput: no rule\nError: (none)\nExit Code: 2\nSignal: 0"}, None,
         ToolError.EXIT_CODE, 2, None),
        ({"stdout": "", "returncode": -9}, None, ToolError.EXIT_CODE, -9, None),
        ([{"type": "text", "text": "Exit code 1\nx"}], True, ToolError.EXIT_CODE, 1, None),
        ([{"type": "text", "content": "fine"}, {"type": "blob"}], None, None, None, None),
        ("The user rejected permission to use this specific tool call.", None, ToolError.REJECTED,
         None, None),
        (None, None, None, None, None),
        (None, True, ToolError.OTHER, None, None),
    ],
)  # fmt: skip
def test_result_shows_how_the_run_ended(
    result: Json,
    mark: bool | None,
    error: ToolError | None,
    exit_code: int | None,
    reported_s: float | None,
) -> None:
    found = outcome_of(result, mark)
    assert (found.error, found.exit_code, found.reported_s) == (error, exit_code, reported_s)


@given(result=JSON | st.builds(str.__add__, STARTS, st.text()), mark=st.none() | st.booleans())
def test_any_result_has_an_outcome_that_agrees_with_its_mark(
    result: Json, mark: bool | None
) -> None:
    found = outcome_of(result, mark)
    if mark:
        assert found.error is not None
    if mark is False and not found.exit_code:
        assert found.error is None
    assert found.exit_code is None or -(2**31) < found.exit_code < 2**31


def test_only_both_ends_of_a_result_are_looked_at() -> None:
    middle = "x" * 10_000
    assert outcome_of(middle + "permission denied" + middle, True).error is ToolError.OTHER
    assert outcome_of("Exit code 1\n" + middle + "timed out", True).error is ToolError.EXIT_CODE
