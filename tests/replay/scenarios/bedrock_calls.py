# SPDX-License-Identifier: Apache-2.0
"""Amazon Bedrock through boto3, and Anthropic models on Bedrock and Vertex AI through their SDK.

Recording needs the packages boto3 and google-auth; replaying does not.
"""

from __future__ import annotations

import json
from contextlib import closing
from itertools import islice
from typing import Any

import anthropic

from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    anthropic_tools,
    failing,
    read_until_hang,
    tool,
)
from tests.support.llm_answers import (
    Answer,
    Choice,
    Delivery,
    Failure,
    StreamFailure,
    Text,
    Thinking,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, delivered, in_order

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE = "eu.anthropic.claude-opus-4-5-20251101-v1:0"
CLAUDE_NAME = "claude-sonnet-4-5-20250929"
VERTEX_CLAUDE = "claude-sonnet-4-5@20250929"
NOVA = "amazon.nova-pro-v1:0"
ID, SECRET = "AKIADUMMYNOTAKEY0000", "dummy-secret-not-a-key"
DEPTH = tool("depth", "Depth of a channel.", channel="Name of the channel.")
ASK = {"role": "user", "content": [{"text": "How deep is the channel?"}]}
HANG = Delivery(cut_after=5, cut="hang")
FALLS = Delivery(cut_after=4, cut="fin")
DEEP = Tokens(input=40, output=11)


def bedrock_client(url: str, **options: Any) -> Any:
    """Return a client of the Bedrock runtime with at most one retry, at once."""
    import boto3
    from botocore.config import Config

    retries = {"total_max_attempts": 2, "mode": "standard"}
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="eu-north-1",
        aws_access_key_id=ID,
        aws_secret_access_key=SECRET,
        config=Config(retries=retries, **options),
    )


def thoughtful(stop: Any = "stop") -> Choice:
    """Return an answer with reasoning before it."""
    return Choice(
        blocks=(
            Thinking(text="Charts say five metres at low water.", signature="c2lnbmVk"),
            Text(text="The channel is 5 m deep."),
        ),
        stop=stop,
    )


def converse_script() -> Script:
    """Answers in the order of ``converse_drive``."""
    cached = Tokens(input=940, output=24, cache_read=800, cache_write=100)
    look = ToolUse(id="tooluse_aB3dE5fG7hJ9kL", name="depth", arguments={"channel": "Väike väin"})
    fail = ToolUse(id="tooluse_zY8xW6vU4tS2rQ", name="depth", arguments={"channel": "Nowhere"})
    return in_order(
        [
            say("Five metres.", tokens=Tokens(input=21, output=4)),
            Answer(choices=(thoughtful(),), tokens=cached, delivery=Delivery(gap_s=0.002)),
            say("The channel is", stop="length", tokens=Tokens(input=21, output=3)),
            say("I may not say.", stop="content_filter", tokens=Tokens(input=18, output=4)),
            act(Text(text="I look it up."), look, fail, tokens=Tokens(input=180, output=60)),
            say("Väike väin: 3 m.", tokens=Tokens(input=260, output=9)),
            act(look, tokens=Tokens(input=150, output=20)),
            say("3 m.", tokens=Tokens(input=190, output=4)),
            Failure(status=400, type="ValidationException", message="Malformed input request."),
            Failure(status=429, type="ThrottlingException", message="Too many requests."),
            say("After a retry.", tokens=Tokens(input=21, output=4)),
            StreamFailure(
                answer=say("The channel is deep", tokens=DEEP),
                after=3,
                type="modelStreamErrorException",
                message="The model failed.",
            ),
            delivered(
                say("One two three four five six seven.", tokens=DEEP), cut_after=5, cut="hang"
            ),
            delivered(
                say("One two three four five six seven.", tokens=DEEP), cut_after=4, cut="fin"
            ),
        ]
    )


def converse_drive(url: str) -> None:
    """Converse and ConverseStream, two tool loops, errors and broken streams."""
    client = bedrock_client(url)

    def ask(text: str, model: str = CLAUDE, **rest: Json) -> Json:
        messages = [{"role": "user", "content": [{"text": text}]}]
        return client.converse(modelId=model, messages=messages, **rest)

    def stream(text: str, model: str = CLAUDE, **rest: Json) -> Any:
        messages = [{"role": "user", "content": [{"text": text}]}]
        return client.converse_stream(modelId=model, messages=messages, **rest)["stream"]

    ask("How deep is the channel?", system=[{"text": "You know the charts."}])
    config = {"maxTokens": 300, "temperature": 0.4, "topP": 0.8, "stopSequences": ["END"]}
    _read(stream("And at low water?", PROFILE, inferenceConfig=config))
    _read(stream("And in ice?", inferenceConfig={"maxTokens": 3}))
    ask("How do I sink a ferry?")
    _agent(client, stream=True)
    _agent(client, stream=False)
    with failing():
        ask("Broken?")
    ask("Again?")
    with failing():
        _read(stream("Does it fail?"))
    left = stream("Count.")
    read_until_hang(left, HANG)
    left.close()
    with failing():
        _read(stream("Count again."))
    client.close()


def _agent(client: Any, *, stream: bool) -> None:
    """Call until the model answers without tools."""
    depths = {"Väike väin": [{"text": "3 m"}]}
    spec = {
        "name": DEPTH["name"],
        "description": DEPTH["description"],
        "inputSchema": {"json": DEPTH["parameters"]},
    }
    messages: list[Json] = [ASK]
    request = {"modelId": CLAUDE, "toolConfig": {"tools": [{"toolSpec": spec}]}}
    while True:
        if stream:
            message = _folded(client.converse_stream(messages=messages, **request)["stream"])
        else:
            message = client.converse(messages=messages, **request)["output"]["message"]
        messages.append(message)
        calls = [part["toolUse"] for part in message["content"] if "toolUse" in part]
        if not calls:
            return
        results = [
            {
                "toolUseId": call["toolUseId"],
                "content": depths.get(call["input"]["channel"], [{"text": "no such channel"}]),
                "status": "success" if call["input"]["channel"] in depths else "error",
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": [{"toolResult": item} for item in results]})


def _read(stream: Any) -> None:
    """Read a stream to its end; botocore keeps the connection of one that fails unless closed."""
    with closing(stream):
        for _ in stream:
            pass


def _folded(stream: Any) -> Json:
    """Return the message that a stream is."""
    blocks: dict[int, Json] = {}
    for event in stream:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            tool_use = {**start["start"]["toolUse"], "input": ""}
            blocks[start["contentBlockIndex"]] = {"toolUse": tool_use}
        elif "contentBlockDelta" in event:
            part = event["contentBlockDelta"]
            delta = part["delta"]
            block = blocks.setdefault(part["contentBlockIndex"], {"text": ""})
            if "text" in delta:
                block["text"] += delta["text"]
            else:
                block["toolUse"]["input"] += delta["toolUse"]["input"]
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return {"role": "assistant", "content": [blocks[index] for index in sorted(blocks)]}


def invoke_script() -> Script:
    """Answers in the order of ``invoke_drive``."""
    cached = Tokens(input=940, output=24, cache_read=800, cache_write=100)
    return in_order(
        [
            say("Five metres.", model=CLAUDE_NAME, tokens=Tokens(input=21, output=4)),
            Answer(choices=(thoughtful(),), model=CLAUDE_NAME, tokens=cached),
            say("Seven metres.", tokens=Tokens(input=12, output=4)),
            say("Nine metres at high water.", tokens=Tokens(input=14, output=7)),
            Failure(status=403, type="AccessDeniedException", message="No access to the model."),
            Failure(status=503, type="ServiceUnavailableException", message="Try again."),
            say("Back again.", model=CLAUDE_NAME, tokens=Tokens(input=21, output=4)),
            StreamFailure(
                answer=say("The channel is deep", model=CLAUDE_NAME, tokens=DEEP),
                after=5,
                type="throttlingException",
                message="Too many tokens.",
            ),
            say("One two three four five.", model=CLAUDE_NAME, tokens=DEEP, delivery=HANG),
        ]
    )


def invoke_drive(url: str) -> None:
    """InvokeModel and its stream with bodies of Anthropic and Amazon Nova, and errors."""
    client = bedrock_client(url)

    def body(text: str, **rest: Json) -> str:
        messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        asked = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, **rest}
        return json.dumps({**asked, "messages": messages})

    def nova(text: str) -> str:
        config = {"maxTokens": 90, "temperature": 0.2, "topP": 0.7}
        messages = [{"role": "user", "content": [{"text": text}]}]
        return json.dumps({"inferenceConfig": config, "messages": messages})

    def invoke(model: str, asked: str) -> None:
        client.invoke_model(modelId=model, body=asked)["body"].read()

    def stream(model: str, asked: str) -> Any:
        return client.invoke_model_with_response_stream(modelId=model, body=asked)["body"]

    invoke(CLAUDE, body("How deep?", temperature=0.1, system="You know the charts."))
    _read(stream(CLAUDE, body("And at low water?")))
    invoke(NOVA, nova("How deep?"))
    _read(stream(NOVA, nova("And at high water?")))
    with failing():
        invoke(CLAUDE, body("May I?"))
    invoke(CLAUDE, body("Again?"))
    with failing():
        _read(stream(CLAUDE, body("Does it fail?")))
    left = stream(CLAUDE, body("Count."))
    read_until_hang(left, HANG)
    left.close()
    client.close()


def partners_script() -> Script:
    """Answers in the order of ``partners_drive``; both clients ask the same."""
    look = ToolUse(id="toolu_bdrk_01Qw3rTy5uIoP7", name="depth", arguments={"channel": "Suur"})
    cached = Tokens(input=640, output=24, cache_read=600)
    one: list[Any] = [
        say("Five metres.", model=CLAUDE_NAME, tokens=Tokens(input=21, output=4)),
        Answer(choices=(thoughtful(),), model=CLAUDE_NAME, tokens=cached),
        act(Text(text="I look."), look, model=CLAUDE_NAME, tokens=Tokens(input=90, output=30)),
        say("Suur is 12 m deep.", model=CLAUDE_NAME, tokens=Tokens(input=140, output=9)),
    ]
    return in_order(
        [
            *one,
            Failure(
                status=429, type="ThrottlingException", message="Slow down.", retry_after_s=0.01
            ),
            say("After a retry.", model=CLAUDE_NAME, tokens=Tokens(input=21, output=4)),
            say("One two three four five.", model=CLAUDE_NAME, tokens=DEEP, delivery=HANG),
            *one,
            Failure(status=400, type="invalid_request_error", message="max_tokens: too large"),
            say("One two three four five.", model=CLAUDE_NAME, tokens=DEEP, delivery=FALLS),
        ]
    )


def partners_drive(url: str) -> None:
    """The Anthropic SDK on Bedrock, then on Vertex AI."""
    ask: Json = {"max_tokens": 300, "messages": [{"role": "user", "content": "How deep is it?"}]}

    def common(client: Any, model: str) -> None:
        client.messages.create(model=model, system="You know the charts.", **ask)
        with client.messages.stream(model=model, **ask) as stream:
            stream.until_done()
        messages: list[Json] = [{"role": "user", "content": "How deep is Suur?"}]
        tools = anthropic_tools([DEPTH])
        request: Json = {"model": model, "max_tokens": 200, "tools": tools}
        with client.messages.stream(messages=messages, **request) as stream:
            said = stream.get_final_message()
        content = [part.model_dump(mode="json", exclude_none=True) for part in said.content]
        result = {"type": "tool_result", "tool_use_id": said.content[1].id, "content": "12 m"}
        messages += [
            {"role": "assistant", "content": content},
            {"role": "user", "content": [result]},
        ]
        client.messages.create(messages=messages, **request)

    bedrock = anthropic.AnthropicBedrock(
        base_url=url, aws_access_key=ID, aws_secret_key=SECRET, aws_region="eu-north-1"
    )
    with bedrock as client:
        common(client, CLAUDE)
        client.messages.create(model=CLAUDE, **ask)
        with client.messages.stream(model=CLAUDE, **ask) as stream:
            for _ in islice(stream, 6):
                pass
    vertex = anthropic.AnthropicVertex(
        base_url=f"{url}/v1",
        access_token="ya29.dummy-not-a-token",
        project_id="acme-1",
        region="europe-north1",
        max_retries=0,
    )
    with vertex as client:
        common(client, VERTEX_CLAUDE)
        with failing(anthropic.BadRequestError):
            client.messages.create(model=VERTEX_CLAUDE, **ask)
        with failing(), client.messages.stream(model=VERTEX_CLAUDE, **ask) as stream:
            stream.until_done()


SCENARIOS = (
    Scenario(
        name="bedrock-converse",
        about="Amazon Bedrock Converse and ConverseStream of boto3: reasoning and cached tokens, "
        "an inference profile, an answer cut by its limit, a filtered answer, tool loops whole "
        "and streamed with parallel tools of which one fails, an error status, a retry, an "
        "exception in the stream, a stream that the client leaves and one that breaks.",
        script=converse_script,
        drive=converse_drive,
        packages=("boto3",),
    ),
    Scenario(
        name="bedrock-invoke",
        about="Amazon Bedrock InvokeModel and InvokeModelWithResponseStream of boto3 with bodies "
        "of Anthropic and Amazon Nova: reasoning and cached tokens, an error status, a retry, "
        "an exception in the stream, a stream that the client leaves.",
        script=invoke_script,
        drive=invoke_drive,
        packages=("boto3",),
    ),
    Scenario(
        name="anthropic-partners",
        about="Anthropic models through the Anthropic SDK on Amazon Bedrock and on Vertex AI: "
        "whole and streamed, reasoning, a tool loop, a retry, an error status, a stream that "
        "the client leaves and one that breaks.",
        script=partners_script,
        drive=partners_drive,
        packages=("anthropic", "boto3"),
    ),
)
