# SPDX-License-Identifier: Apache-2.0
"""What links two calls: the words in them, ids, addresses. Pure functions.

A gateway may translate the API, rename the model, replace the user agent and count cached tokens
in another way, so nothing here compares JSON, models or token counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from heron_otel.records.wire import CANCELLED, Json, LlmCall, LlmRequest

_KEY_CHARS = 200  # of the last text; enough to tell most requests apart
_LAST_ITEMS = 4  # wire items looked at for the last text
_COMPARED_ITEMS = 12  # and for the texts that are compared
_COMPARED_TEXTS = 3
_MIN_ID_CHARS = 12  # shorter ids count calls: call_0

REQUEST_ID_FIELDS = ("x-request-id", "x-correlation-id", "x-client-request-id")
"""Request fields that gateways pass on; equal values name one request."""
FORWARDED_FIELDS = ("x-forwarded-for", "x-real-ip", "forwarded")
"""Request fields in which a gateway tells the address of its client."""

# "anthropic/claude-x" and "models/gemini-x" are the names after the last slash; a release date or
# "-latest" says which build of a model.
_MODEL_VARIANT = re.compile(r"^.*/|[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


def request_text(request: LlmRequest) -> str | None:
    """Return the end of the last text of a request, None without one: hops share it."""
    messages = request.messages
    last = len(messages) - 1
    for index in range(last, max(-1, last - _LAST_ITEMS), -1):
        for message in reversed(messages.at(index)):
            for part in reversed(message.parts):
                if text := _text_of(part):
                    return text[-_KEY_CHARS:]
    return None


def compared_texts(request: LlmRequest) -> tuple[str, ...]:
    """Return the last texts of users and tools, last first."""
    found: list[str] = []
    messages = request.messages
    last = len(messages) - 1
    for index in range(last, max(-1, last - _COMPARED_ITEMS), -1):
        for message in reversed(messages.at(index)):
            if message.role not in ("user", "tool"):
                continue
            for part in reversed(message.parts):
                if text := _text_of(part):
                    found.append(text)
                    if len(found) == _COMPARED_TEXTS:
                        return tuple(found)
    return tuple(found)


def _text_of(part: dict[str, Json]) -> str:
    kind = part.get("type")
    if kind == "text":
        content = part.get("content")
        return content.strip() if isinstance(content, str) else ""
    if kind == "tool_call_response":
        return _flat(part.get("response"))
    return ""


def _flat(value: Json) -> str:
    """Return the text of a tool result, whether it came as text or as content blocks."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "\n".join(text for text in map(_flat, value) if text)
    if isinstance(value, dict):
        for name in ("text", "content"):
            if name in value:
                return _flat(value[name])
    return ""


def has_failed(call: LlmCall) -> bool:
    """Return whether ``call`` ended without any part of an answer."""
    response = call.response
    if call.error is None:
        return False
    return response is None or not (response.text or response.tool_calls)


def is_cancelled(call: LlmCall) -> bool:
    """Return whether the client went away."""
    return call.error is not None and call.error.type == CANCELLED


def share_answer(outer: LlmCall, inner: LlmCall) -> int | None:
    """Return how strongly the answers link two calls, None when they contradict each other.

    2: equal ids that a server makes up at random; 1: equal words; 0: nothing to compare.
    """
    if has_failed(inner):
        return 0
    if has_failed(outer):
        # A gateway that lost its client, or fails after its backend answered.
        response = outer.exchange.response
        broken = response is None or response.status_code >= 500
        return 0 if broken or is_cancelled(outer) else None
    first, second = outer.response, inner.response
    if first is None or second is None:
        return None
    if first.id is not None and first.id == second.id and len(first.id) >= _MIN_ID_CHARS:
        return 2
    calls = [each.name for each in first.tool_calls], [each.name for each in second.tool_calls]
    texts = first.text.strip(), second.text.strip()
    whole = outer.complete and inner.complete
    if whole and (texts[0] != texts[1] or calls[0] != calls[1]):
        return None
    if not whole:
        shorter, longer = sorted(texts, key=len)
        if not longer.startswith(shorter):
            return None
    ids = {each.id for each in first.tool_calls if each.id and len(each.id) >= _MIN_ID_CHARS}
    if ids.intersection(each.id for each in second.tool_calls):
        return 2
    return 1 if texts[0] or calls[0] else 0


def share_ids(ours: Mapping[str, str], theirs: Mapping[str, str], client_address: str) -> bool:
    """Return whether request fields link two hops; ``client_address`` is that of the outer one,
    ``ours`` are its fields and ``theirs`` those of the inner one."""
    for name in REQUEST_ID_FIELDS:
        value = theirs.get(name)
        if value and value == ours.get(name):
            return True
    trace = _trace_id(theirs.get("traceparent"))
    if trace is not None and trace == _trace_id(ours.get("traceparent")):
        return True
    for name in FORWARDED_FIELDS:
        value = theirs.get(name)
        # A chain of gateways grows the list; an address that was there before says nothing.
        if value and value != ours.get(name) and _names_address(value, client_address):
            return True
    return False


def differing_fields(
    ours: Mapping[str, str], theirs: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of request fields that are added, removed, and have another value."""
    return (
        tuple(sorted(theirs.keys() - ours.keys())),
        tuple(sorted(ours.keys() - theirs.keys())),
        tuple(sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])),
    )


def is_other_model(asked: str | None, answered: str | None) -> bool:
    """Return whether two names mean two models; unknown names do not."""
    if asked is None or answered is None or asked == answered:
        return False
    return _MODEL_VARIANT.sub("", asked) != _MODEL_VARIANT.sub("", answered)


def _trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a ``traceparent`` field (W3C Trace Context, section 3.2)."""
    if traceparent is None:
        return None
    words = traceparent.split("-")
    return words[1] if len(words) >= 4 and len(words[1]) == 32 and words[1].strip("0") else None


def _names_address(value: str, address: str) -> bool:
    return bool(address) and address in re.split(r'[\s,;="\[\]]+', value)
