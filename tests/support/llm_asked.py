# SPDX-License-Identifier: Apache-2.0
"""What requests of any wire API ask, in the words of Chat Completions.

The ground truth compares spans with these; it shares no code with the product.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from urllib.parse import unquote

from tests.support.llm_answers import Json


def in_chat_words(wire_api: str, path: str, request: Json) -> Json:
    """Return ``request`` as a Chat Completions request with content parts of Anthropic."""
    match wire_api:
        case "gemini":
            return _of_gemini(path, request)
        case "gemini-live":
            return _of_gemini(f"/models/{request['model']}:streamGenerateContent", request)
        case "mistral-conversations":
            return _of_conversation(request)
        case "openai-completions":
            prompts = request["prompt"]
            prompts = prompts if isinstance(prompts, list) else [prompts]
            messages = [{"role": "user", "content": prompt} for prompt in prompts]
            return {**request, "messages": messages}
        case "ollama":
            options = request.get("options", {})
            asked = {"stream": True, "messages": [], **request, **options}
            asked["max_tokens"] = options.get("num_predict")
            if "prompt" in request:
                asked["messages"] = [{"role": "user", "content": request["prompt"]}]
            else:
                asked["messages"] = [_of_ollama(message) for message in request["messages"]]
            return asked
        case "bedrock-converse":
            return _of_converse(path, request)
        case "bedrock-invoke":
            if "anthropic_version" not in request:
                return _of_converse(path, request)
            return {**request, "model": _bedrock_model(path), "stream": path.endswith("-stream")}
        case "anthropic-messages" if "/publishers/" in path:
            (model,) = re.findall(r"/models/([^/:]+):", path)
            return {**request, "model": model}
        case "cohere":
            asked = {**request, "messages": list(map(_of_cohere, request["messages"]))}
            return asked | {"top_p": request.get("p"), "top_k": request.get("k")}
        case "openai-chat" if "random_seed" in request:
            return {**request, "seed": request["random_seed"]}
        case "openai-chat":
            named = re.search("/deployments/([^/]+)/", path)
            return {"model": named[1], **request} if named else request
        case _:
            return request


def _of_conversation(request: Json) -> Json:
    asked = {"model": "", **request, **request.get("completion_args", {})}
    said = asked.pop("instructions", None)
    messages = [{"role": "system", "content": said}] if said else []
    inputs = request.get("inputs", [])
    if isinstance(inputs, str):
        inputs = [{"role": "user", "content": inputs}]
    for entry in inputs:
        if entry.get("type") == "function.result":
            result = {"tool_call_id": entry["tool_call_id"], "content": entry["result"]}
            messages.append({"role": "tool", **result})
        else:
            messages.append({"role": entry["role"], "content": entry["content"]})
    return asked | {"messages": messages, "seed": asked.get("random_seed")}


def _of_cohere(message: Json) -> Json:
    if not message.get("tool_plan"):
        return message
    return {**message, "content": [{"type": "text", "text": message["tool_plan"]}]}


def _bedrock_model(path: str) -> str:
    (model,) = re.findall("/model/(.+)/[^/]+$", path)
    return unquote(model)


def _of_converse(path: str, request: Json) -> Json:
    config = request.get("inferenceConfig", {})
    asked: dict[str, Json] = {
        "model": _bedrock_model(path),
        "stream": path.endswith("-stream"),
        "messages": [
            {"role": message["role"], "content": list(_converse_content(message["content"]))}
            for message in request["messages"]
        ],
        "tools": [tool["toolSpec"] for tool in request.get("toolConfig", {}).get("tools", [])],
    }
    for theirs, ours in (
        ("temperature", "temperature"),
        ("topP", "top_p"),
        ("topK", "top_k"),
        ("maxTokens", "max_tokens"),
        ("stopSequences", "stop"),
    ):
        if theirs in config:
            asked[ours] = config[theirs]
    return asked


def _converse_content(content: Json) -> Iterator[Json]:
    for block in content:
        if "text" in block:
            yield {"type": "text", "text": block["text"]}
        elif "reasoningContent" in block:
            inner = block["reasoningContent"].get("reasoningText")
            if inner:
                yield {"type": "thinking", "thinking": inner["text"]}
        elif "toolResult" in block:
            result = block["toolResult"]
            (value,) = result["content"][0].values()
            yield {
                "type": "tool_result",
                "tool_use_id": result["toolUseId"],
                "content": value,
                "is_error": result.get("status") == "error",
            }


def _of_ollama(message: Json) -> Json:
    if message["role"] != "tool":
        thinking = message.get("thinking")
        first = [{"type": "text", "text": thinking}] if thinking else []
        text = message.get("content")
        second = [{"type": "text", "text": text}] if text else []
        return {"role": message["role"], "content": first + second}
    return {**message, "tool_call_id": None}


def _of_gemini(path: str, request: Json) -> Json:
    named = re.search(r"/models/([^/:]+):", path)
    model = named[1] if named else request["model"]
    request = request.get("request", request)
    config = request.get("generationConfig", {})
    asked: dict[str, Json] = {
        "model": model,
        "stream": ":streamGenerateContent" in path,
        "messages": [
            {"role": content.get("role", "user"), "content": list(_gemini_content(content))}
            for content in request["contents"]
        ],
        "tools": [
            declaration
            for tool in request.get("tools", [])
            for declaration in tool.get("functionDeclarations", [])
        ],
    }
    for theirs, ours in (
        ("temperature", "temperature"),
        ("topP", "top_p"),
        ("topK", "top_k"),
        ("seed", "seed"),
        ("maxOutputTokens", "max_tokens"),
        ("candidateCount", "n"),
        ("stopSequences", "stop"),
    ):
        if theirs in config:
            asked[ours] = config[theirs]
    level = config.get("thinkingConfig", {}).get("thinkingLevel")
    if level is not None:
        asked["reasoning_effort"] = level
    if config.get("responseMimeType") == "application/json":
        asked["response_format"] = {"type": "json_schema"}
    return asked


def _gemini_content(content: Json) -> Iterator[Json]:
    kinds = groupby(content["parts"], key=lambda part: "text" in part and bool(part.get("thought")))
    if content.get("role") == "model":  # the pieces of a stream, sent back as they came
        for _, parts in kinds:
            text = "".join(part.get("text", "") for part in parts)
            if text:
                yield {"type": "text", "text": text}
        return
    for part in content["parts"]:
        if "text" in part:
            yield {"type": "text", "text": part["text"]}
        elif "functionResponse" in part:
            body = part["functionResponse"]
            yield {
                "type": "tool_result",
                "tool_use_id": body.get("id"),
                "content": body["response"],
                "is_error": "error" in body["response"],
            }
