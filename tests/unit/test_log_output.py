# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from heron_otel.log_output import MAX_KINDS, JsonFormatter, RepeatFilter


def record(message: str = "gap skipped", level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("heron_otel.x", level, __file__, 1, message, (), None)
    made.fields = {"flow_id": 7, "msg": "not this"}
    made.created = 1_700_000_000.25
    return made


def test_record_is_one_json_object_with_its_fields() -> None:
    line = JsonFormatter().format(record())
    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "heron_otel.x",
        "msg": "gap skipped",
        "flow_id": 7,
    }


def test_traceback_is_a_member() -> None:
    made = record()
    try:
        raise ValueError("bad")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert "ValueError: bad" in json.loads(line)["exception"]


def test_repeats_are_held_back_and_counted() -> None:
    now = [0.0]
    limit = RepeatFilter(lambda: now[0], burst=3, interval_s=60.0)
    assert [limit.filter(record()) for _ in range(10)] == [True] * 3 + [False] * 7
    assert limit.filter(record("another sentence"))
    now[0] = 60.0
    later = record()
    assert limit.filter(later)
    assert later.__dict__["fields"]["suppressed"] == 7


def test_kinds_that_are_remembered_are_bounded() -> None:
    limit = RepeatFilter(lambda: 0.0, burst=1)
    for number in range(MAX_KINDS + 5):
        assert limit.filter(record(f"sentence {number}"))
    assert not limit.filter(record(f"sentence {MAX_KINDS + 4}"))


@pytest.mark.parametrize("encoding", ["console", "json"])
def test_configure_replaces_what_it_set_up_before(encoding: str) -> None:
    from heron_otel.log import get_logger
    from heron_otel.log_output import configure

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    first, second = io.StringIO(), io.StringIO()
    try:
        configure("info", "console", first)
        configure("warn", encoding, second)
        get_logger("heron_otel.test").info("not written")
        get_logger("heron_otel.test").warning("written", size_bytes=5)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1
    assert "written" in second.getvalue()
    assert "size_bytes" in second.getvalue()
