# SPDX-License-Identifier: Apache-2.0
"""Tells which LLM API a request uses: method, path and header fields first, then the body."""

from __future__ import annotations

import enum

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.http import BodyFlag, HttpRequest, field_value
from heron_otel.wire.api import Members, WireApi
from heron_otel.wire.cut_body import joined_body
from heron_otel.wire.json_text import close_truncated, decode_members
from heron_otel.wire.multipart import boundary_of, form_members
from heron_otel.wire.operations import POSTED, read_operation
from heron_otel.wire.recognised import Recognised, recognise
from heron_otel.wire.registry import CONFIRMED_APIS, NATIVE_APIS, WIRE_APIS

_CUT = int(
    BodyFlag.TRUNCATED
    | BodyFlag.INCOMPLETE
    | BodyFlag.GAPPED
    | BodyFlag.CODING_CORRUPT
    | BodyFlag.CODING_BOMB
)
_SUFFIXES = tuple((suffix, api) for api in WIRE_APIS for suffix in api.path_suffixes)
_NATIVE_SUFFIXES = tuple(suffix for api in NATIVE_APIS for suffix in api.path_suffixes)
# Paths of other APIs that end like those: ``/api/generate`` is of Ollama.
_NOT_NATIVE = tuple(
    suffix
    for api in CONFIRMED_APIS
    for suffix in api.path_suffixes
    if suffix.endswith(_NATIVE_SUFFIXES) and suffix not in _NATIVE_SUFFIXES
)
_DEFERRED = "/v1/chat/deferred-completion/"  # xAI: the answer to an earlier request
_CHAT = next(api for api in WIRE_APIS if api.name == "openai-chat")
_ANTHROPIC = next(api for api in WIRE_APIS if api.name == "anthropic-messages")


class Verdict(enum.Enum):
    """What a request is."""

    CALL = "call"  # parsed by an API of the registry
    READ = "read"  # a GET that an operation reads, if its answer has that shape
    RECOGNISED = "recognised"  # a known operation that is not parsed
    OTHER = "other"  # no known API; perhaps no LLM traffic at all


class Detection(msgspec.Struct, frozen=True):
    """A verdict with the API it names."""

    verdict: Verdict
    wire_api: str | None = None  # also of recognised operations
    operation: str | None = None
    api: WireApi | None = None  # set for CALL
    members: Members | None = None  # JSON body, as far as it was read; None: unreadable
    path: str = ""
    host: str = ""
    is_certain: bool = True  # False: the answer or the host must confirm it


_OTHER = Detection(Verdict.OTHER)
_METHODS = frozenset({"GET", "POST"})


def detect(request: HttpRequest) -> Detection:
    """Return what ``request`` is.

    A path that names an operation decides, whatever the body; an ``anthropic-version`` field
    outweighs the path of another chat API. Only without such a path the shape of the body
    counts, and only when it is declared ``application/json``.
    """
    method = request.method
    if method not in _METHODS:
        return _OTHER
    target = request.target
    path = target.partition("?")[0].rstrip("/")
    fields = request.fields
    names = fields[::2]
    host = fields[2 * names.index("host") + 1] if "host" in names else ""
    if method == "GET":
        return _detect_read(path, host, is_anthropic="anthropic-version" in names)
    api = _api_of_path(path)
    is_anthropic = "anthropic-version" in names
    members: Members | None = None
    if api is None:
        if path.endswith(_NATIVE_SUFFIXES) and not path.endswith(_NOT_NATIVE):
            members = _members(request)
            native = None if members is None else _detect_native(members, path, host)
            if native is not None:
                return native
        known = recognise(path)
        if known is not None and is_anthropic and known.operation == "chat":
            api = _ANTHROPIC
        elif known is not None:
            return _confirm(known, request, members, path, host)
    elif is_anthropic:
        api = _ANTHROPIC
    if api is not None:
        members = _members(request) if members is None else members
        return Detection(Verdict.CALL, api.name, api.operation, api, members, path, host)
    if members is None and request.content[:64].lstrip()[:1] == b"{":
        members = _members(request)
    if members is not None and _media_type(fields) == "application/json":
        return _detect_shape(members, path, host, is_anthropic)
    return Detection(Verdict.OTHER, members=members, path=path, host=host)


def _confirm(
    known: Recognised, request: HttpRequest, members: Members | None, path: str, host: str
) -> Detection:
    """Return the call that path and body name together, else the recognised operation.

    ``members`` are those of the body, if it was read before.
    """
    if members is None:
        members = _form_or_members(request)
    operation = POSTED.get((known.api, known.operation))
    if members is not None and known.operation != "count_tokens":
        for api in CONFIRMED_APIS:
            taker = known.taker
            is_path = api.name == taker if taker else path.endswith(api.path_suffixes)
            if is_path and api.matches(members):
                return Detection(Verdict.CALL, api.name, api.operation, api, members, path, host)
    if operation is not None and members is not None and operation.matches(members):
        return Detection(
            Verdict.CALL, operation.name, operation.operation, operation, members, path, host
        )
    return Detection(
        Verdict.RECOGNISED, known.api or None, known.operation, None, members, path, host
    )


def _detect_native(members: Members, path: str, host: str) -> Detection | None:
    """Return the call of an inference server's own API, if path and body are of one."""
    for api in NATIVE_APIS:
        if path.endswith(api.path_suffixes) and api.matches(members):
            return Detection(Verdict.CALL, api.name, api.operation, api, members, path, host)
    return None


def _detect_read(path: str, host: str, *, is_anthropic: bool) -> Detection:
    """Return what a GET request reads: models, files or batches; other services have such paths."""
    if _DEFERRED in path:
        return Detection(Verdict.READ, _CHAT.name, _CHAT.operation, _CHAT, {}, path, host, False)
    operation = read_operation(path, is_anthropic=is_anthropic)
    if operation is None:
        return _OTHER
    return Detection(
        Verdict.READ, operation.name, operation.operation, operation, {}, path, host, is_anthropic
    )


def _detect_shape(members: Members, path: str, host: str, is_anthropic: bool) -> Detection:
    if is_anthropic and "model" in members and "messages" in members:
        return Detection(
            Verdict.CALL, _ANTHROPIC.name, _ANTHROPIC.operation, _ANTHROPIC, members, path, host
        )
    for api in WIRE_APIS:
        if api.matches(members):
            return Detection(Verdict.CALL, api.name, api.operation, api, members, path, host)
    return Detection(Verdict.OTHER, members=members, path=path, host=host)


def _api_of_path(path: str) -> WireApi | None:
    for suffix, api in _SUFFIXES:
        if path.endswith(suffix):
            return api
    return None


def _media_type(fields: tuple[str, ...]) -> str:
    return (field_value(fields, "content-type") or "").partition(";")[0].strip().lower()


def _form_or_members(request: HttpRequest) -> Members | None:
    content_type = field_value(request.fields, "content-type")
    boundary = None if content_type is None else boundary_of(content_type)
    return _members(request) if boundary is None else form_members(request.content, boundary)


def _members(request: HttpRequest) -> Members | None:
    """Return the members of the body; of a cut body those before the cut; None: unreadable."""
    content = request.content
    try:
        return decode_members(content)
    except JsonError:
        pass
    if request.content_tail:
        try:
            return decode_members(joined_body(request))
        except JsonError:
            pass
    if content and request.flags & _CUT:
        try:
            return decode_members(close_truncated(content))
        except JsonError:
            pass
    return None
