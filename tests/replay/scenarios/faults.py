# SPDX-License-Identifier: Apache-2.0
"""Errors, retries, cancelled and cut responses of both APIs."""

from __future__ import annotations

from typing import Any

import anthropic
import openai

from tests.replay.scenarios.scenario import Json, Scenario, anthropic_client, failing, openai_client
from tests.support.llm_answers import Answer, Failure, Hang, StreamFailure, Tokens, say
from tests.support.llm_server import Script, delivered, in_order

TIDE = say(
    "High water at the harbour is at 05:41 and 18:07. The wind turns west in the afternoon, so "
    "the ferry may leave twenty minutes early. Take the inner channel when you come back.",
    tokens=Tokens(input=52, output=47),
)
SHORT = say("High water is at 05:41.", tokens=Tokens(input=52, output=8))
CANCEL_AFTER = 9  # events that the cancelling client reads


def cut(how: str, after: int) -> Answer:
    """Return the long answer, cut after ``after`` events."""
    return delivered(TIDE, cut=how, cut_after=after)


def openai_script() -> Script:
    """One reply for each attempt of ``openai_drive``, in order."""
    return in_order(
        [
            Failure(
                status=400, type="invalid_request_error", message="'temperature' is above 2: 9.5"
            ),
            Failure(status=401, type="invalid_request_error", message="Incorrect API key"),
            Failure(
                status=429,
                type="rate_limit_exceeded",
                message="30 requests per minute are allowed",
                retry_after_s=0.2,
            ),
            SHORT,
            Failure(status=500, type="server_error", message="The harbour master is asleep"),
            Failure(status=503, type="server_error", message="Overloaded", coding="gzip"),
            SHORT,
            StreamFailure(answer=TIDE, after=6, type="server_error", message="The model stopped"),
            cut("hang", CANCEL_AFTER),
            Hang(),
            Hang(reset=True),
            cut("rst", 12),
            cut("fin", 14),
            cut("fin", 0),
            SHORT,
        ]
    )


def openai_drive(url: str) -> None:
    """Each call fails in another way, but for the retried ones and the last."""
    with openai_client(url, max_retries=0) as client:
        create: Any = client.chat.completions.create
        usage: dict[str, Json] = {"stream_options": {"include_usage": True}}

        def ask(prompt: str, *, times: int | None = None, **options: Json) -> None:
            """Ask and read the answer, at most ``times`` events of it."""
            messages = [{"role": "user", "content": prompt}]
            reply = create(model="gpt-5", messages=messages, **options)
            if options.get("stream"):
                with reply:
                    for count, _ in enumerate(reply, 1):
                        if count == times:
                            return

        with failing(openai.BadRequestError):
            ask("When is high water?", temperature=9.5)
        with failing(openai.AuthenticationError):
            ask("When is high water tomorrow?")
        retrying = client.with_options(max_retries=2)
        create = retrying.chat.completions.create
        ask("When is high water on Monday?", stream=True, **usage)
        ask("When is high water on Tuesday?")
        create = client.chat.completions.create
        with failing(openai.APIError):
            ask("How is the tide on Wednesday?", stream=True, **usage)
        ask("How is the tide on Thursday?", times=CANCEL_AFTER, stream=True, **usage)
        with failing(openai.APITimeoutError):
            ask("How is the tide on Friday?", timeout=0.4)
        with failing():
            ask("How is the tide on Saturday?")
        with failing():
            ask("How is the tide on Sunday?", stream=True, **usage)
        with failing():
            ask("How is the tide at new moon?", stream=True, **usage)
        with failing():
            ask("How is the tide at full moon?")
        ask("When is high water, at last?")


def anthropic_script() -> Script:
    """One reply for each attempt of ``anthropic_drive``, in order."""
    return in_order(
        [
            Failure(
                status=400,
                type="invalid_request_error",
                message="max_tokens: 900000 is more than this model gives",
            ),
            Failure(status=401, type="authentication_error", message="invalid x-api-key"),
            Failure(
                status=429,
                type="rate_limit_error",
                message="40 requests per minute are allowed",
                retry_after_s=0.2,
            ),
            SHORT,
            Failure(status=529, type="overloaded_error", message="Overloaded"),
            Failure(status=500, type="api_error", message="Internal server error"),
            SHORT,
            StreamFailure(answer=TIDE, after=8, type="overloaded_error", message="Overloaded"),
            cut("hang", CANCEL_AFTER + 3),
            Hang(),
            Hang(reset=True),
            cut("rst", 12),
            cut("fin", 14),
            cut("fin", 0),
            SHORT,
        ]
    )


def anthropic_drive(url: str) -> None:
    """The same failures over Messages."""
    with anthropic_client(url, max_retries=0) as client:
        create: Any = client.messages.create

        def ask(
            prompt: str, *, times: int | None = None, max_tokens: int = 400, **options: Json
        ) -> None:
            messages = [{"role": "user", "content": prompt}]
            model = "claude-haiku-5"
            reply = create(model=model, max_tokens=max_tokens, messages=messages, **options)
            if options.get("stream"):
                with reply:
                    for count, _ in enumerate(reply, 1):
                        if count == times:
                            return

        with failing(anthropic.BadRequestError):
            ask("When is high water?", max_tokens=900_000, stream=True)
        with failing(anthropic.AuthenticationError):
            ask("When is high water tomorrow?")
        retrying = client.with_options(max_retries=2)
        create = retrying.messages.create
        ask("When is high water on Monday?", stream=True)
        ask("When is high water on Tuesday?", stream=True)
        create = client.messages.create
        with failing(anthropic.APIError):
            ask("How is the tide on Wednesday?", stream=True)
        # The SDK keeps one event to itself, the ping.
        ask("How is the tide on Thursday?", times=CANCEL_AFTER + 2, stream=True)
        with failing(anthropic.APITimeoutError):
            ask("How is the tide on Friday?", timeout=0.4)
        with failing():
            ask("How is the tide on Saturday?")
        with failing():
            ask("How is the tide on Sunday?", stream=True)
        with failing():
            ask("How is the tide at new moon?", stream=True)
        with failing():
            ask("How is the tide at full moon?")
        ask("When is high water, at last?")


SCENARIOS = (
    Scenario(
        name="openai-chat-faults",
        about="The openai SDK against a server that fails: 400, 401, 429 with Retry-After and 500 "
        "and 503 (gzip) before success, an error inside a stream, a cancelled stream, a timeout, "
        "resets before and inside a response, a stream and a JSON body cut by FIN.",
        script=openai_script,
        drive=openai_drive,
    ),
    Scenario(
        name="anthropic-faults",
        about="The anthropic SDK against a server that fails: 400, 401, 429 with Retry-After, 529 "
        "and 500 before success, overloaded_error inside a stream, a cancelled stream, a timeout, "
        "resets before and inside a response, a stream and a JSON body cut by FIN.",
        script=anthropic_script,
        drive=anthropic_drive,
    ),
)
