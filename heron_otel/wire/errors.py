# SPDX-License-Identifier: Apache-2.0
"""Why a call failed: the provider's word, else the HTTP status, else how the exchange ended."""

from __future__ import annotations

from heron_otel.records.http import EndedBy, ExchangeEnd
from heron_otel.records.wire import CANCELLED, CallError, Json

MAX_MESSAGE_CHARACTERS = 2000
"""Longer error messages are cut: some servers answer with whole HTML pages."""

ERROR_FIELD = "x-amzn-errortype"
"""Response field with the name of an error of AWS, with a namespace or a link around it."""
OTHER = "_OTHER"  # error.type when there is an error without a name (semantic conventions)
CONNECTION_RESET = "connection_reset"
STREAM_INTERRUPTED = "stream_interrupted"
TIMEOUT = "timeout"
NO_RESPONSE = "no_response"


def error_of_value(value: dict[str, Json]) -> CallError | None:
    """Return the error that a JSON object of any provider's style tells, or None.

    Knows ``{"error": {"type", "code", "status", "message"}}``, ``{"error": "text"}``, and the
    flat ``{"object": "error", "type", "message"}`` of vLLM.
    """
    error = value.get("error")
    if error is None and (value.get("object") == "error" or value.get("type") == "error"):
        error = {name: member for name, member in value.items() if member != "error"}
    if isinstance(error, str):
        message = value.get("message")
        # Some gateways put the name into `error` and the sentence into `message`.
        if isinstance(message, str):
            return CallError(type=_name(error) or OTHER, message=cut_message(message))
        return CallError(type=OTHER, message=cut_message(error))
    if error is None or error is False:
        return None
    if not isinstance(error, dict):
        return CallError(type=OTHER)
    told = [_name(error.get(member)) for member in ("type", "status", "code")]
    names = [name for name in told if name is not None]
    # Azure writes the HTTP status beside the word that says what happened.
    words = [name for name in names if not name.isdecimal()]
    return CallError(type=(words or names or [OTHER])[0], message=cut_message(error.get("message")))


def error_of_status(
    status_code: int, body: Json, told: CallError | None = None, field: str | None = None
) -> CallError:
    """Return the error of a response with status 400 or above and the value ``body``.

    ``told`` is what the wire API found in it, ``field`` the value of ``ERROR_FIELD``. The type is
    the provider's when one is named, else the status code.
    """
    if told is None:
        value = body[0] if isinstance(body, list) and body else body
        told = error_of_value(value) if isinstance(value, dict) else None
        if told is None and isinstance(value, dict):
            told = CallError(
                type=OTHER, message=cut_message(value.get("detail", value.get("message")))
            )
    if told is None:
        told = CallError(type=OTHER)
    if told.type == OTHER and field:
        named = _name(field.partition(":")[0].rpartition("#")[2])
        told = CallError(type=named or OTHER, message=told.message)
    if told.type == OTHER:
        return CallError(type=str(status_code), message=told.message)
    return told


def error_of_end(end: int, ended_by: int, *, is_answered: bool) -> CallError | None:
    """Return the error of an exchange that ended early, or None when only the capture did.

    ``ended_by`` is an ``EndedBy``; ``is_answered`` says whether a response byte came. A stream
    whose framing ends in order before the answer does was interrupted behind the server.
    """
    if ended_by == EndedBy.CLIENT:
        return CallError(type=CANCELLED)
    match end:
        case ExchangeEnd.RESET:
            return CallError(type=CONNECTION_RESET)
        case ExchangeEnd.IDLE:
            return CallError(type=TIMEOUT)
        case ExchangeEnd.NO_RESPONSE:
            return CallError(type=NO_RESPONSE)
        case ExchangeEnd.COMPLETE | ExchangeEnd.RESPONSE_CUT:
            return CallError(type=STREAM_INTERRUPTED if is_answered else NO_RESPONSE)
        case _:
            return None


def _name(value: Json) -> str | None:
    if isinstance(value, str) and value and len(value) <= 100 and not any(map(str.isspace, value)):
        return value
    if type(value) is int:
        return str(value)
    return None


def cut_message(message: Json) -> str | None:
    """Return an error message, cut, or None when it is none."""
    if not isinstance(message, str) or not message:
        return None
    return message[:MAX_MESSAGE_CHARACTERS]
