# SPDX-License-Identifier: Apache-2.0
"""Azure OpenAI, Cohere, Ollama and Gemini on Vertex AI through their official SDKs.

Recording needs the packages cohere, ollama and google-genai; replaying does not.
"""

from __future__ import annotations

import json
from typing import Any

import openai

from tests.replay.scenarios.gemini_calls import FORECAST
from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    failing,
    openai_tools,
    read_until_hang,
    tool,
)
from tests.support.llm_answers import (
    Answer,
    Choice,
    Delivery,
    Failure,
    Plain,
    StreamFailure,
    Text,
    Thinking,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, in_order

DEPLOYMENT = "chat-production"
DEPLOYED = "gpt-5.2-2026-03-01"
COMMAND = "command-a-03-2025"
REASONER = "command-a-reasoning-08-2025"
LOCAL = "llama3.3:8b"
GEMINI = "gemini-3-flash"
TIDE = tool("tide", "Tide of a harbour.", harbour="Name of the harbour.")
TIDES = {"Kuivastu": "low at 06:14", "Virtsu": "low at 06:02"}
HANG = Delivery(cut_after=6, cut="hang")
FALLS = Delivery(cut_after=5, cut="fin")
COUNT = "One two three four five six seven eight."
PROMPT = [{"role": "user", "content": "When is low water in Kuivastu?"}]


def looks(first: str, second: str) -> tuple[ToolUse, ToolUse]:
    """Return two parallel tool calls."""
    return (
        ToolUse(id=first, name="tide", arguments={"harbour": "Kuivastu"}),
        ToolUse(id=second, name="tide", arguments={"harbour": "Virtsu"}),
    )


def thoughtful() -> Choice:
    """Return an answer with reasoning before it."""
    return Choice(
        blocks=(
            Thinking(text="The moon is full, so the tide is low."),
            Text(text="Low water is at 06:14 in Kuivastu."),
        )
    )


def azure_script() -> Script:
    """Answers in the order of ``azure_drive``."""
    named: Json = {"model": DEPLOYED, "dialect": "azure"}
    cached = Tokens(input=120, output=30, cache_read=64, reasoning=12)
    blocked = {
        "message": "The response was filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
    busy = {"code": "429", "message": "Please retry after 1 second."}
    return in_order(
        [
            say("At 06:14.", tokens=Tokens(input=20, output=6), **named),
            say("At 06:14, and at 18:40.", tokens=cached, **named),
            act(*looks("call_aZ1", "call_aZ2"), tokens=Tokens(input=80, output=30), **named),
            say("Kuivastu 06:14, Virtsu 06:02.", tokens=Tokens(input=140, output=14), **named),
            Failure(
                status=400,
                type="content_filter",
                message=str(blocked["message"]),
                body={"error": blocked},
            ),
            Failure(
                status=429,
                type="429",
                message=busy["message"],
                retry_after_s=0.01,
                body={"error": busy},
            ),
            say("After a retry.", tokens=Tokens(input=20, output=4), **named),
            say(COUNT, tokens=Tokens(input=20, output=9), delivery=HANG, **named),
            Plain(body={"object": "list", "data": [], "model": "embedder", "usage": {}}),
        ]
    )


def azure_drive(url: str) -> None:
    """Deployments through the AzureOpenAI client."""
    client = openai.AzureOpenAI(
        azure_endpoint=url, api_key="dummy-not-a-key", api_version="2026-02-01"
    )
    request: Json = {"model": DEPLOYMENT, "messages": PROMPT}
    usage = {"include_usage": True}
    with client:
        client.chat.completions.create(temperature=0.3, **request)
        for _ in client.chat.completions.create(stream=True, stream_options=usage, **request):
            pass
        messages: list[Json] = [{"role": "user", "content": "When is low water?"}]
        asked: Json = {"model": DEPLOYMENT, "tools": openai_tools([TIDE])}
        with client.chat.completions.stream(
            messages=messages, stream_options=usage, **asked
        ) as stream:
            message = stream.get_final_completion().choices[0].message
        messages.append(message.model_dump(mode="json", include={"role", "content", "tool_calls"}))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": TIDES[harbour(call)]}
            for call in message.tool_calls or ()
        ]
        client.chat.completions.create(messages=messages, **asked)
        with failing(openai.BadRequestError):
            client.chat.completions.create(**request)
        client.chat.completions.create(**request)
        left = client.chat.completions.create(stream=True, stream_options=usage, **request)
        read_until_hang(left, HANG)
        left.close()


def harbour(call: Any) -> str:
    """Return the harbour that a tool call asks about."""
    arguments = call.function.arguments
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    return str(arguments["harbour"])


def cohere_script() -> Script:
    """Answers in the order of ``cohere_drive``."""
    look = looks("tide_kuivastu_1x0", "tide_virtsu_7c2")
    plan = Thinking(text="I ask for both harbours.")
    return in_order(
        [
            say("At 06:14.", tokens=Tokens(input=20, output=6)),
            say("At 06:14.", tokens=Tokens(input=22, output=6)),
            Answer(choices=(thoughtful(),), tokens=Tokens(input=30, output=25)),
            Answer(choices=(thoughtful(),), tokens=Tokens(input=30, output=25)),
            say("At", stop="length", tokens=Tokens(input=20, output=1)),
            act(plan, *look, tokens=Tokens(input=90, output=40)),
            say("Kuivastu 06:14, Virtsu 06:02.", tokens=Tokens(input=150, output=14)),
            act(plan, *look[:1], tokens=Tokens(input=90, output=20)),
            say("Kuivastu 06:14.", tokens=Tokens(input=120, output=7)),
            Failure(status=400, type="400", message="invalid request: no such model"),
            Failure(status=429, type="429", message="Trial keys are limited."),
            say("After a retry.", tokens=Tokens(input=20, output=4)),
            say(COUNT, tokens=Tokens(input=20, output=9), delivery=HANG),
            say(COUNT, tokens=Tokens(input=20, output=9), delivery=FALLS),
        ]
    )


def cohere_drive(url: str) -> None:
    """Chat of Cohere: reasoning, a tool plan, tools, errors, a retry, broken streams."""
    import cohere

    client: Any = cohere.ClientV2(api_key="dummy-not-a-key", base_url=url)
    request: Json = {"model": COMMAND, "messages": PROMPT}
    once: Json = {"request_options": {"max_retries": 0}}
    client.chat(temperature=0.2, p=0.9, k=20, seed=7, **request)
    for _ in client.chat_stream(stop_sequences=["END"], max_tokens=90, **request):
        pass
    client.chat(model=REASONER, messages=PROMPT)
    for _ in client.chat_stream(model=REASONER, messages=PROMPT):
        pass
    for _ in client.chat_stream(max_tokens=1, **request):
        pass
    for stream in (True, False):
        _cohere_loop(client, stream=stream)
    with failing():
        client.chat(**request, **once)
    client.chat(**request)
    left = client.chat_stream(**request)
    read_until_hang(left, HANG)
    left.close()
    with failing():
        for _ in client.chat_stream(**request, **once):
            pass
    client._client_wrapper.httpx_client.httpx_client.close()


def _cohere_loop(client: Any, *, stream: bool) -> None:
    messages: list[Json] = [*PROMPT]
    asked: Json = {"model": COMMAND, "tools": openai_tools([TIDE])}
    if stream:
        plan, calls = _cohere_message(client.chat_stream(messages=messages, **asked))
    else:
        message = client.chat(messages=messages, **asked).message
        plan = message.tool_plan
        calls = [call.model_dump(mode="json", exclude_none=True) for call in message.tool_calls]
    messages.append({"role": "assistant", "tool_plan": plan, "tool_calls": calls})
    for call in calls:
        harbour = json.loads(call["function"]["arguments"])["harbour"]
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": TIDES[harbour]})
    if not stream:
        client.chat(messages=messages, **asked)
        return
    for _ in client.chat_stream(messages=messages, **asked):
        pass


def _cohere_message(events: Any) -> tuple[str, list[Json]]:
    """Return the plan and the tool calls of a stream."""
    plan, calls = "", []
    for event in events:
        if event.type == "tool-plan-delta":
            plan += event.delta.message.tool_plan
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            function = {"name": call.function.name, "arguments": ""}
            calls.append({"id": call.id, "type": "function", "function": function})
        elif event.type == "tool-call-delta":
            function = calls[-1]["function"]
            function["arguments"] += event.delta.message.tool_calls.function.arguments
    return plan, calls


def ollama_script() -> Script:
    """Answers in the order of ``ollama_drive``."""
    first, second = looks("", "")
    return in_order(
        [
            say("At 06:14.", tokens=Tokens(input=20, output=6)),
            Answer(choices=(thoughtful(),), tokens=Tokens(input=30, output=25)),
            act(first, tokens=Tokens(input=70, output=18)),
            say("At 06:14.", tokens=Tokens(input=95, output=6)),
            act(second, tokens=Tokens(input=70, output=18)),
            say("At 06:02.", tokens=Tokens(input=95, output=6)),
            say(" the tide was low.", tokens=Tokens(input=8, output=5)),
            say(" low water", stop="length", tokens=Tokens(input=8, output=2)),
            Failure(status=404, type="404", message=f"model '{LOCAL}' not found"),
            say(COUNT, tokens=Tokens(input=20, output=9), delivery=HANG),
            Plain(body={"model": "nomic", "embeddings": [[0.5, 1.0]], "prompt_eval_count": 4}),
        ]
    )


def ollama_drive(url: str) -> None:
    """Chat, tool loops whole and streamed, completions, an error, a stream left, an embedding."""
    import ollama

    client: Any = ollama.Client(host=url)
    request: Json = {"model": LOCAL, "messages": PROMPT}
    client.chat(options={"temperature": 0.2, "num_predict": 100, "seed": 7}, **request)
    for _ in client.chat(stream=True, think=True, **request):
        pass
    for stream in (False, True):
        messages: list[Any] = [*PROMPT]
        asked: Json = {"model": LOCAL, "tools": openai_tools([TIDE]), "stream": stream}
        answer = client.chat(messages=messages, **asked)
        parts = [part.message for part in answer] if stream else [answer.message]
        (call,) = [call for part in parts for call in part.tool_calls or ()]
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        result = TIDES[call.function.arguments["harbour"]]
        messages.append({"role": "tool", "tool_name": "tide", "content": result})
        answer = client.chat(messages=messages, **asked)
        if stream:
            list(answer)
    client.generate(model=LOCAL, prompt="All morning")
    list(client.generate(model=LOCAL, prompt="At night,", stream=True))
    with failing(ollama.ResponseError):
        client.chat(**request)
    left = client.chat(stream=True, **request)
    read_until_hang(left, HANG)
    left.close()
    client.embed(model="nomic", input="A tide.")
    client._client.close()


def vertex_script() -> Script:
    """Answers in the order of ``vertex_drive``."""
    call = ToolUse(id="fc_3Qx8", name="forecast", arguments={"harbour": "Kuivastu"})
    return in_order(
        [
            say("At 06:14.", tokens=Tokens(input=12, output=8)),
            Answer(choices=(thoughtful(),), tokens=Tokens(input=30, output=25, reasoning=12)),
            act(call, tokens=Tokens(input=90, output=20)),
            say("Calm.", tokens=Tokens(input=120, output=3)),
            Failure(status=503, type="UNAVAILABLE", message="Overloaded."),
            StreamFailure(
                answer=say("The wind will", tokens=Tokens(input=9, output=4)),
                after=2,
                type="RESOURCE_EXHAUSTED",
                message="Quota exceeded.",
            ),
            say(COUNT, tokens=Tokens(input=20, output=9), delivery=HANG),
        ]
    )


def vertex_drive(url: str) -> None:
    """Gemini on Vertex AI."""
    from google import genai
    from google.genai import types
    from google.oauth2.credentials import Credentials

    options = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=1))
    token: Any = Credentials
    client: Any = genai.Client(
        vertexai=True,
        project="acme-1",
        location="europe-north1",
        credentials=token(token="ya29.dummy-not-a-token"),
        http_options=options,
    )
    models = client.models
    prompt = PROMPT[0]["content"]
    models.generate_content(model=GEMINI, contents=prompt, config={"temperature": 0.1})
    config = {"thinking_config": {"include_thoughts": True}}
    for _ in models.generate_content_stream(model=GEMINI, contents=prompt, config=config):
        pass
    config = {
        "tools": [{"function_declarations": [FORECAST]}],
        "automatic_function_calling": {"disable": True},
    }
    history: list[Any] = [types.Content(role="user", parts=[types.Part(text="How is it?")])]
    answer = models.generate_content(model=GEMINI, contents=history, config=config)
    (call,) = answer.function_calls
    response = types.FunctionResponse(id=call.id, name=call.name, response={"output": "calm"})
    history += [
        answer.candidates[0].content,
        types.Content(role="user", parts=[types.Part(function_response=response)]),
    ]
    models.generate_content(model=GEMINI, contents=history, config=config)
    with failing():
        models.generate_content(model=GEMINI, contents="Again?")
    with failing():
        for _ in models.generate_content_stream(model=GEMINI, contents="And the wind?"):
            pass
    left = models.generate_content_stream(model=GEMINI, contents="Count.")
    read_until_hang(left, HANG)
    left.close()
    client.close()


SCENARIOS = (
    Scenario(
        name="azure-calls",
        about="Azure OpenAI deployments through the AzureOpenAI client: whole and streamed with "
        "what the filters found, another model than the deployment is named, cached and "
        "reasoning tokens, a tool loop, a blocked prompt, a retry, a stream that the client "
        "leaves.",
        script=azure_script,
        drive=azure_drive,
        packages=("openai",),
    ),
    Scenario(
        name="cohere-calls",
        about="Chat of the cohere SDK, version 2 of the API: whole and streamed, reasoning, a "
        "tool plan before tool calls, tool loops, an answer cut by its limit, an error status, "
        "a retry, a stream that the client leaves and one that breaks.",
        script=cohere_script,
        drive=cohere_drive,
        packages=("cohere",),
    ),
    Scenario(
        name="ollama-sdk",
        about="The ollama SDK: chat whole and streamed with thinking, tool loops, completions, "
        "an error status, a stream that the client leaves, an embedding.",
        script=ollama_script,
        drive=ollama_drive,
        packages=("ollama",),
    ),
    Scenario(
        name="gemini-vertex",
        about="The google-genai SDK on Vertex AI: whole and streamed, thoughts, a function call, "
        "an error status, an error in a stream, a stream that the client leaves.",
        script=vertex_script,
        drive=vertex_drive,
        packages=("google-genai",),
    ),
)
