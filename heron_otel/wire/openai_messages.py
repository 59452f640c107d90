# SPDX-License-Identifier: Apache-2.0
"""OpenAI Chat message items, content parts and tools in GenAI form."""

from __future__ import annotations

from heron_otel.errors import JsonError
from heron_otel.records.wire import Json, Message, ToolCall
from heron_otel.wire.json_text import decode, encode
from heron_otel.wire.messages import Part, make_message


def normalise_item(item: Json) -> tuple[Message, ...]:
    """Return the message of one item of ``messages``; nothing for what is no object."""
    if not isinstance(item, dict):
        return ()
    role = item.get("role")
    name = item.get("name")
    if not isinstance(role, str):
        role = ""
    if not isinstance(name, str):
        name = None
    if role in ("tool", "function"):
        part: Part = {"type": "tool_call_response", "id": item.get("tool_call_id")}
        if role == "function" and name is not None:
            part["name"] = name
        part["response"] = _plain_response(item.get("content"))
        return (make_message("tool", [part]),)
    parts: list[Part] = []
    for member in ("reasoning_content", "reasoning"):
        text = item.get(member)
        if isinstance(text, str) and text:
            parts.append({"type": "reasoning", "content": text})
    details = item.get("reasoning_details")
    if isinstance(details, list):
        parts.extend(_detail_parts(details, is_told=bool(parts)))
    parts.extend(content_parts(item.get("content")))
    refusal = item.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append({"type": "refusal", "content": refusal})
    audio = item.get("audio")
    if isinstance(audio, dict):
        parts.append(audio_part(audio))
    calls = item.get("tool_calls")
    if isinstance(calls, list):
        made = map(_tool_call_part, calls)
        parts.extend(call_part for call_part in made if call_part is not None)
    legacy = item.get("function_call")
    if isinstance(legacy, dict):
        found = _tool_call_part({"function": legacy})
        if found is not None:
            parts.append(found)
    return (make_message(role, parts, name),)


def _detail_parts(details: list[Json], *, is_told: bool) -> list[Part]:
    """Return the parts of ``reasoning_details`` (OpenRouter); texts only if ``is_told`` is not."""
    texts: list[str] = []
    encrypted: list[Part] = []
    for detail in details:
        if not isinstance(detail, dict):
            continue
        data = detail.get("data")
        text = detail.get("text", detail.get("summary"))
        if detail.get("type") == "reasoning.encrypted" and isinstance(data, str):
            encrypted.append({"type": "encrypted_reasoning", "content": data})
        elif isinstance(text, str):
            texts.append(text)
    whole = "" if is_told else "".join(texts)
    return [{"type": "reasoning", "content": whole}, *encrypted] if whole else encrypted


def content_parts(content: Json) -> list[Part]:
    """Return the parts of a ``content`` member: text, a list of parts, or nothing."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return []
    parts: list[Part] = []
    for item in content:
        if isinstance(item, str):
            parts.append({"type": "text", "content": item})
        elif isinstance(item, dict):
            parts.append(_content_part(item))
    return parts


def _content_part(item: dict[str, Json]) -> Part:
    kind = item.get("type")
    value = item.get(kind) if isinstance(kind, str) else None
    match kind:
        case "text" | "input_text" | "output_text" if isinstance(item.get("text"), str):
            return {"type": "text", "content": item["text"]}
        case "refusal" if isinstance(value, str):
            return {"type": "refusal", "content": value}
        case "thinking":
            return {"type": "reasoning", "content": joined_text(value)}
        case "image_url":
            url = value.get("url") if isinstance(value, dict) else value
            if isinstance(url, str):
                return media_part("image", url)
        case "input_audio" if isinstance(value, dict) and isinstance(value.get("data"), str):
            form = value.get("format")
            mime_type = f"audio/{form}" if isinstance(form, str) else None
            return blob_part("audio", mime_type, value["data"])
        case "file" if isinstance(value, dict):
            if isinstance(value.get("file_id"), str):
                return {"type": "file", "modality": "document", "file_id": value["file_id"]}
            if isinstance(value.get("file_data"), str):
                return media_part("document", str(value["file_data"]))
        case _:
            pass
    return generic_part(item)


def generic_part(item: dict[str, Json]) -> Part:
    """Return a part of a type that the conventions do not know, members unchanged.

    Cache marks are left out: clients move them from item to item between calls, and an equal
    message must stay equal.
    """
    kind = item.get("type")
    part: Part = {"type": kind if isinstance(kind, str) else "unknown"}
    part.update(
        (name, value) for name, value in item.items() if name not in ("type", "cache_control")
    )
    return part


def media_part(modality: str, url: str) -> Part:
    """Return a ``blob`` part for a base64 data URL, else a ``uri`` part (RFC 2397)."""
    if url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        mime_type, _, coding = head.partition(";")
        if comma and coding.endswith("base64"):
            return blob_part(modality, mime_type or None, data)
    return {"type": "uri", "modality": modality, "uri": url}


def blob_part(modality: str, mime_type: str | None, data: Json) -> Part:
    """Return a ``blob`` part."""
    part: Part = {"type": "blob", "modality": modality}
    if mime_type is not None:
        part["mime_type"] = mime_type
    part["content"] = data
    return part


def audio_part(audio: dict[str, Json]) -> Part:
    """Return the part of an assistant's spoken answer: its data, or a reference to it."""
    transcript = audio.get("transcript")
    data = audio.get("data")
    if isinstance(data, str) and data:
        part = blob_part("audio", None, data)
        if isinstance(transcript, str):
            part["transcript"] = transcript
        return part
    part = {"type": "file", "modality": "audio", "file_id": audio.get("id")}
    if isinstance(transcript, str) and transcript:
        part["transcript"] = transcript
    return part


def joined_text(value: Json) -> str:
    """Return the text of a string or of a list of text parts."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    texts = (item.get("text") if isinstance(item, dict) else item for item in value)
    return "".join(text for text in texts if isinstance(text, str))


def _plain_response(content: Json) -> Json:
    return (
        [generic_part(item) if isinstance(item, dict) else item for item in content]
        if (isinstance(content, list))
        else content
    )


def parse_arguments(text: str) -> Json:
    """Return tool arguments: parsed when ``text`` is JSON, ``{}`` when empty, else ``text``."""
    if not text or text.isspace():
        return {}
    try:
        return decode(text.encode("utf-8", "surrogatepass"))
    except JsonError:
        return text


def tool_call(
    id: Json, name: Json, arguments: Json, completed_at_ns: int | None = None
) -> ToolCall:
    """Return a tool call of the client; ``arguments`` is JSON text or, in dialects, a value."""
    if isinstance(arguments, str):
        size = len(arguments.encode("utf-8", "surrogatepass"))
        value = parse_arguments(arguments)
    elif arguments is None:
        size, value = 0, {}
    else:
        size, value = len(encode(arguments)), arguments
    return ToolCall(
        id=id if isinstance(id, str) else None,
        name=name if isinstance(name, str) else "",
        arguments=value,
        arguments_bytes=size,
        completed_at_ns=completed_at_ns,
    )


def tool_call_part(call: ToolCall) -> Part:
    """Return the ``tool_call`` part of ``call``."""
    return {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}


def _tool_call_part(call: Json) -> Part | None:
    if not isinstance(call, dict):
        return None
    function = call.get("function")
    if not isinstance(function, dict):
        custom = call.get("custom")
        if not isinstance(custom, dict):
            return generic_part(call)
        function = {"name": custom.get("name"), "arguments": custom.get("input")}
    made = tool_call(call.get("id"), function.get("name"), function.get("arguments"))
    return tool_call_part(made)


def normalise_tools(tools: Json) -> list[Part]:
    """Return ``gen_ai.tool.definitions`` of a ``tools`` or ``functions`` member."""
    definitions: list[Part] = []
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        kind = tool.get("type")
        kind = kind if isinstance(kind, str) else "function"
        body = tool.get(kind)
        if not isinstance(body, dict):
            body = tool
        definition: Part = {"type": kind}
        definition.update((name, value) for name, value in body.items() if name != "type")
        definitions.append(definition)
    return definitions
