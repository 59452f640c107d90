# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.wire import CallError, Json
from heron_otel.wire.errors import error_of_status, error_of_value
from tests.support.calls import CHAT_REQUEST, MESSAGES_REQUEST, call_of
from tests.support.exchanges import make_exchange


@pytest.mark.parametrize(
    ("status", "body", "error_type", "message"),
    [
        (
            429,
            {"error": {"message": "Slow down", "type": "rate_limit_error", "code": "x"}},
            "rate_limit_error",
            "Slow down",
        ),
        (
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "overloaded_error",
            "Overloaded",
        ),
        (
            401,
            {"error": {"message": "No", "type": None, "code": "invalid_api_key"}},
            "invalid_api_key",
            "No",
        ),
        (
            400,
            {"object": "error", "message": "Bad", "type": "BadRequestError", "code": 400},
            "BadRequestError",
            "Bad",
        ),
        (
            429,
            [{"error": {"code": 429, "message": "Q", "status": "RESOURCE_EXHAUSTED"}}],
            "RESOURCE_EXHAUSTED",
            "Q",
        ),
        (
            400,
            {"error": {"message": "F", "type": None, "code": "content_filter", "status": 400}},
            "content_filter",
            "F",
        ),
        (404, {"detail": "Not Found"}, "404", "Not Found"),
        (404, {"error": "model 'x' not found"}, "404", "model 'x' not found"),
        (400, {"error": "bad_request", "message": "Why"}, "bad_request", "Why"),
        (500, {"message": "Oops"}, "500", "Oops"),
        (502, b"<html>Bad Gateway</html>", "502", None),
        (503, b"", "503", None),
        (500, {"error": {}}, "500", None),
        (500, {"error": 7}, "500", None),
        (500, b"[]", "500", None),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_status_and_body_of_any_style_name_the_error(
    path: str, status: int, body: Json, error_type: str, message: str | None
) -> None:
    request = CHAT_REQUEST if path.endswith("completions") else MESSAGES_REQUEST
    call = call_of(make_exchange(request, body, path=path, status=status))
    assert call.error == CallError(type=error_type, message=message)
    assert call.complete
    assert call.response is not None
    assert call.response.finish_reasons == ()


def test_long_messages_are_cut() -> None:
    error = error_of_value({"error": {"type": "x", "message": "m" * 9000}})
    assert error is not None
    assert len(error.message or "") == 2000


@pytest.mark.parametrize("name", ["", "has space", "x" * 101, None, [], 1.5])
def test_a_sentence_is_no_error_type(name: Json) -> None:
    assert error_of_status(500, {"error": {"type": name}}) == CallError(type="500")


@pytest.mark.parametrize("value", [{}, {"error": None}, {"error": False}, {"object": "list"}])
def test_no_error_is_none(value: dict[str, Json]) -> None:
    assert error_of_value(value) is None
