# SPDX-License-Identifier: Apache-2.0
"""Gemini through its official SDK, and what that SDK does not send through plain requests.

Recording needs the package google-genai; replaying does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from tests.replay.scenarios.scenario import Json, Scenario, failing
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

KEY = "AIza-dummy-not-a-key"
MODEL = "gemini-3-flash"
ASSIST_MODEL = "gemini-3-pro"
FORECAST = {
    "name": "forecast",
    "description": "Forecast for a harbour.",
    "parameters_json_schema": {"type": "object", "properties": {"harbour": {"type": "string"}}},
}


@contextmanager
def gemini_client(url: str) -> Iterator[Any]:
    """Open a client of the SDK for AI Studio."""
    from google import genai

    client = genai.Client(api_key=KEY, http_options={"base_url": url})
    try:
        yield client
    finally:
        client.close()


def post(url: str, body: Json, **fields: str) -> bytes:
    """Send ``body`` as JSON and return the whole answer."""
    headers = {"content-type": "application/json", "user-agent": "plain-client/1", **fields}
    request = Request(url, json.dumps(body).encode(), headers)
    with urlopen(request, timeout=30) as reply:
        return bytes(reply.read())


def thinking(*, stop: Any = "stop") -> Choice:
    """Return an answer with thoughts before it."""
    return Choice(
        blocks=(
            Thinking(text="The tide turns at noon, so the ferry leaves before."),
            Text(text="The ferry to Hiiumaa leaves at 11:20."),
        ),
        stop=stop,
    )


def calls_script() -> Script:
    """Answers in the order of ``calls_drive``."""
    counted = Tokens(input=64, output=41, reasoning=22, cache_read=32)
    return in_order(
        [
            say("Low water is at 06:14.", tokens=Tokens(input=12, output=8)),
            Answer(choices=(thinking(),), tokens=counted),
            say('{"knots": 14}', tokens=Tokens(input=30, output=6)),
            Answer(
                choices=(
                    Choice(blocks=(Text(text="Sail."),)),
                    Choice(blocks=(Text(text="Stay in port."),), stop="length"),
                ),
                tokens=Tokens(input=20, output=9),
            ),
            say("I may not say.", stop="content_filter", tokens=Tokens(input=9, output=4)),
            Failure(status=429, type="RESOURCE_EXHAUSTED", message="Quota exceeded."),
            StreamFailure(
                answer=say("The wind will", tokens=Tokens(input=9, output=4)),
                after=2,
                type="UNAVAILABLE",
                message="Overloaded.",
            ),
            Plain(body={"totalTokens": 11}),
            Plain(body={"embeddings": [{"values": [0.25, -0.5]}]}),
            Answer(choices=(thinking(),), tokens=counted, delivery=Delivery(gap_s=0.002)),
            say("From Vertex.", tokens=Tokens(input=5, output=3)),
            say("From Code Assist.", model=ASSIST_MODEL, tokens=Tokens(input=5, output=4)),
        ]
    )


def calls_drive(url: str) -> None:
    """Calls of the SDK, then an array stream, Vertex and Code Assist as plain requests."""
    prompt = "When does the ferry leave?"
    with gemini_client(url) as client:
        models = client.models
        models.generate_content(model=MODEL, contents="When is low water?")
        config: Json = {"thinking_config": {"include_thoughts": True}, "temperature": 0.3}
        config |= {"system_instruction": "You know the harbour.", "seed": 11}
        for _ in models.generate_content_stream(model=MODEL, contents=prompt, config=config):
            pass
        config = {"response_mime_type": "application/json", "max_output_tokens": 200, "top_k": 20}
        models.generate_content(model=MODEL, contents="How strong is the wind?", config=config)
        config = {"candidate_count": 2, "stop_sequences": ["END"], "top_p": 0.9}
        models.generate_content(model=MODEL, contents="Sail or stay?", config=config)
        models.generate_content(model=MODEL, contents="How do I sink a ferry?")
        with failing():
            models.generate_content(model=MODEL, contents="Again?")
        with failing():
            for _ in models.generate_content_stream(model=MODEL, contents="And the wind?"):
                pass
        models.count_tokens(model=MODEL, contents="How long is this?")
        models.embed_content(model="gemini-embedding-2", contents="A harbour at low water.")
    content = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    post(f"{url}/v1beta/models/{MODEL}:streamGenerateContent", content)
    place = "projects/acme/locations/europe-north1/publishers/google"
    post(f"{url}/v1/{place}/models/{MODEL}:generateContent", content)
    wrapped = {"model": ASSIST_MODEL, "project": "acme-1", "request": content}
    post(f"{url}/v1internal:streamGenerateContent?alt=sse", wrapped)


def agent_script() -> Script:
    """Two prompts; the calls of the first have ids, the call of the second has none."""
    return in_order(
        [
            act(
                Thinking(text="Two harbours."),
                ToolUse(
                    id="fc_9Kd2mQ7xB41aTz0P", name="forecast", arguments={"harbour": "Kuivastu"}
                ),
                ToolUse(
                    id="fc_4TgW8sLp0ZyRq6nE", name="forecast", arguments={"harbour": "Rohuküla"}
                ),
                tokens=Tokens(input=90, output=40, reasoning=9),
            ),
            say("Kuivastu is calm, Rohuküla is closed.", tokens=Tokens(input=150, output=12)),
            act(
                ToolUse(id="", name="forecast", arguments={"harbour": "Heltermaa"}),
                tokens=Tokens(input=180, output=11),
            ),
            say("Heltermaa has ice.", tokens=Tokens(input=210, output=6)),
        ]
    )


def agent_drive(url: str) -> None:
    """An agent loop that answers every function call."""
    from google.genai import types

    weather: Json = {
        "Kuivastu": {"output": "calm"},
        "Rohuküla": {"error": "station closed"},
        "Heltermaa": {"output": "ice"},
    }
    config: Json = {
        "tools": [{"function_declarations": [FORECAST]}],
        "automatic_function_calling": {"disable": True},
        "system_instruction": "You answer questions of skippers.",
    }
    history: list[Any] = []
    with gemini_client(url) as client:
        for prompt in ("Can I sail from Kuivastu to Rohuküla?", "And Heltermaa?"):
            history.append(types.Content(role="user", parts=[types.Part(text=prompt)]))
            while True:
                parts: list[Any] = []
                for chunk in client.models.generate_content_stream(
                    model=MODEL, contents=history, config=config
                ):
                    parts += chunk.candidates[0].content.parts
                history.append(types.Content(role="model", parts=parts))
                calls = [part.function_call for part in parts if part.function_call]
                if not calls:
                    break
                answers = [
                    types.Part(
                        function_response=types.FunctionResponse(
                            id=call.id, name=call.name, response=weather[call.args["harbour"]]
                        )
                    )
                    for call in calls
                ]
                history.append(types.Content(role="user", parts=answers))


SCENARIOS = (
    Scenario(
        name="gemini-calls",
        about="Gemini calls of the google-genai SDK (3.4.0): whole and streamed, thoughts, JSON "
        "output, two candidates, a filtered answer, an error status, an error "
        "in a stream, a token count, an embedding; then a JSON array stream, Vertex AI and Code "
        "Assist paths as plain requests.",
        script=calls_script,
        drive=calls_drive,
    ),
    Scenario(
        name="gemini-agent",
        about="An agent loop of the google-genai SDK (3.4.0): two prompts, two parallel function "
        "calls with ids of which one fails, one function call without an id.",
        script=agent_script,
        drive=agent_drive,
    ),
)
