# SPDX-License-Identifier: Apache-2.0
"""Message parts in GenAI form, as all formats read them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from heron_otel.records.wire import Json
from heron_otel.training.tools import ToolSet
from heron_otel.training.trajectory import Part, Trajectory, text_of

_PARAGRAPH = "\n\n"  # between pieces of reasoning, which are paragraphs in all APIs
REASONING = ("reasoning", "encrypted_reasoning", "redacted_thinking")
"""Types of parts that hold what the model thought."""


def reasoning(parts: Sequence[Part]) -> tuple[str, list[Json]]:
    """Return the text of the reasoning, and its parts where a text cannot hold them."""
    texts: list[str] = []
    details: list[Json] = []
    needed = False
    for part in parts:
        kind = part.get("type")
        if kind == "reasoning":
            text = text_of(part)
            if text and text not in texts[-1:]:  # some servers send it under two names
                texts.append(text)
            detail: dict[str, Json] = {"type": "reasoning.text", "text": text}
            if part.get("signature"):
                detail["signature"] = part["signature"]
                needed = True
            details.append(detail)
        elif kind in ("encrypted_reasoning", "redacted_thinking"):
            data = part.get("encrypted_content", part.get("data"))
            details.append({"type": "reasoning.encrypted", "data": data})
            needed = True
    return _PARAGRAPH.join(texts), details if needed else []


def data_url(part: Part) -> str:
    """Return the data URL of a ``blob`` part (RFC 2397)."""
    default = "image/png" if part.get("modality") == "image" else "application/octet-stream"
    return f"data:{part.get('mime_type') or default};base64,{text_of(part)}"


def result_parts(value: Json) -> list[Part]:
    """Return the result of a tool as parts; a value that is no text is its JSON text."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "text", "content": value}]
    if not isinstance(value, list) or not all(_is_block(item) for item in value):
        return [{"type": "text", "content": json_text(value)}]
    return [_block_part(item) for item in value if isinstance(item, dict)]


def _is_block(item: Json) -> bool:
    return isinstance(item, dict) and isinstance(item.get("type"), str)


def _block_part(item: Part) -> Part:
    """Return the part of a content block inside a tool result, as any API writes it."""
    kind = item.get("type")
    if kind in ("text", "input_text", "output_text") and isinstance(item.get("text"), str):
        return {"type": "text", "content": item["text"]}
    source = item.get("source")
    if kind in ("image", "document") and isinstance(source, dict):
        media: Part = {"modality": kind}
        if source.get("type") == "base64":
            return {
                "type": "blob",
                **media,
                "mime_type": source.get("media_type"),
                "content": source.get("data"),
            }
        if source.get("type") == "url":
            return {"type": "uri", **media, "uri": source.get("url")}
    if kind in ("input_image", "image_url"):
        url = item.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if isinstance(url, str):
            return {"type": "uri", "modality": "image", "uri": url}
    return item


def server_arguments(part: Part) -> Json:
    """Return what a tool of the provider was asked."""
    asked = part.get("server_tool_call")
    if not isinstance(asked, dict):
        return {}
    for member in ("arguments", "input"):
        if member in asked:
            return asked[member] if asked[member] is not None else {}
    return {name: value for name, value in asked.items() if name != "type"}


def json_text(value: Json) -> str:
    """Return ``value`` as JSON text."""
    return msgspec.json.encode(value).decode()


def count(trajectory: Trajectory, name: str) -> None:
    """Add one to a note of ``trajectory``."""
    known = trajectory.notes.get(name)
    trajectory.notes[name] = (known if isinstance(known, int) else 0) + 1


def note(trajectory: Trajectory, tools: ToolSet, made: int) -> None:
    """Note what a line cannot show: ids that were made, tools of the provider."""
    if made:
        trajectory.notes["made_tool_call_ids"] = made
    if tools.server:
        trajectory.notes["server_tools"] = list(tools.server)
