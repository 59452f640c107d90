# SPDX-License-Identifier: Apache-2.0
"""Spoken sessions: OpenAI Realtime and Gemini Live, with the official SDKs."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

from tests.replay.scenarios.openai_calls import TOOLS
from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    failing,
    openai_client,
    read_until_hang,
)
from tests.support.llm_answers import (
    Answer,
    Choice,
    Delivery,
    Failure,
    Plain,
    Text,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, in_order
from tests.support.tls_relay import TlsRelay, tls_relay

MODEL = "gpt-realtime"
LIVE_MODEL = "gemini-3.1-flash-live-preview"
AUDIO = base64.b64encode(bytes(960)).decode()
LEFT = Delivery(cut="hang", cut_after=6)  # after three deltas
LIVE_LEFT = Delivery(cut="hang", cut_after=3)
UNTOLD = ("reasoning",)  # Realtime has no member for it


def tokens(input_tokens: int, output_tokens: int, cache_read: int = 0) -> Tokens:
    """Return the counts of a Realtime response."""
    return Tokens(input=input_tokens, output=output_tokens, cache_read=cache_read, untold=UNTOLD)


def realtime_script() -> Script:
    """One reply for each handshake and each response of ``realtime_drive``, in order."""
    return in_order(
        [
            Failure(status=429, type="rate_limit_exceeded", message="Slow.", retry_after_s=7),
            Plain(),
            say("Thirty minutes — bring a coat.", tokens=tokens(71, 38, 64)),
            act(
                ToolUse(id="call_rt0000000001", name="stock", arguments={"part": "cable"}),
                tokens=tokens(96, 24),
            ),
            say("Three cables are left. 🚲", tokens=tokens(140, 11)),
            Failure(status=400, type="invalid_request_error", message="No such item."),
            say("It is cut short after a few", stop="length", tokens=tokens(150, 8)),
            say("This one fails in the middle.", stop="failed", tokens=tokens(0, 0)),
            replace(say("Nobody hears the end of this.", tokens=tokens(160, 9)), delivery=LEFT),
            Plain(),
        ]
    )


def realtime_drive(url: str) -> None:
    """Ask in one session by voice and in writing, leave it; then transcribe in another one."""
    tools: Json = [{"type": "function", **tool} for tool in TOOLS]
    with openai_client(url, max_retries=0) as client:
        with failing(), client.realtime.connect(model=MODEL):
            pass
        with client.realtime.connect(model=MODEL) as connection:

            def ask(*kinds: str, **members: Json) -> Json:
                """Ask for a response and return the first event of ``kinds``."""
                connection.response.create(**members)
                return wait(*(kinds or ("response.done",)))

            def wait(*kinds: str) -> Json:
                for event in connection:
                    if event.type in kinds:
                        return event
                raise AssertionError("the server went away")

            def write(text: str) -> None:
                content = [{"type": "input_text", "text": text}]
                item: Json = {"type": "message", "role": "user", "content": content}
                connection.conversation.item.create(item=item)

            session: Json = {"type": "realtime", "instructions": "Be brief.", "tools": tools}
            connection.session.update(session=session)
            connection.input_audio_buffer.append(audio=AUDIO)
            connection.input_audio_buffer.commit()
            wait("conversation.item.input_audio_transcription.completed")
            ask()
            connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
            write("Are there cables?")
            ask()
            result: Json = {
                "type": "function_call_output",
                "call_id": "call_rt0000000001",
                "output": "3",
            }
            connection.conversation.item.create(item=result)
            ask()
            write("And brakes?")
            ask("error", event_id="event_mine_1")
            ask()
            ask()
            connection.response.create()
            read_until_hang(connection, LEFT)
        with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            connection.session.update(
                session={
                    "type": "transcription",
                    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
                }
            )
            connection.input_audio_buffer.append(audio=AUDIO)
            connection.input_audio_buffer.commit()
            wait("conversation.item.input_audio_transcription.completed")


def live_script() -> Script:
    """One reply for each handshake and each turn of ``live_drive``, in order."""
    part = ToolUse(id="call_live_0001", name="stock", arguments={"part": "cable"})
    both = Answer(
        choices=(Choice(blocks=(Text(text="I look. "), part), stop="tool_call"),),
        tokens=Tokens(input=60, output=21),
    )
    return in_order(
        [
            Failure(status=403, type="PERMISSION_DENIED", message="Not with this key."),
            Plain(),
            say("Low water is at nine. ⚓", tokens=Tokens(input=31, output=12)),
            both,
            say("Three cables are left.", tokens=Tokens(input=90, output=7)),
            replace(
                say("Nobody hears the end of this.", tokens=Tokens(input=99, output=9)),
                delivery=LIVE_LEFT,
            ),
            Plain(),
            say("Ahoy.", tokens=Tokens(input=9, output=2)),
        ]
    )


def live_drive(url: str) -> None:
    """Ask in one session, with a tool, and leave in the middle; then ask in another one."""
    asyncio.run(_live(url))


async def _live(url: str) -> None:
    async with tls_relay(url) as relay:
        await _ask_live(relay)


async def _ask_live(relay: TlsRelay) -> None:
    from google import genai

    client = genai.Client(
        api_key="dummy-not-a-key",
        http_options={"base_url": relay.url, "async_client_args": {"ssl": relay.trust}},
    )
    tools = [
        {"function_declarations": [{"name": tool["name"], "description": tool["description"]}]}
        for tool in TOOLS
    ]
    config: Json = {"response_modalities": ["TEXT"], "temperature": 0.3, "tools": tools}
    live = client.aio.live

    async def ask(session: Json, text: str) -> None:
        content = {"role": "user", "parts": [{"text": text}]}
        await session.send_client_content(turns=content, turn_complete=True)

    with failing():
        async with live.connect(model=LIVE_MODEL, config=config):
            pass
    async with live.connect(model=LIVE_MODEL, config=config) as session:
        await ask(session, "When is low water?")
        async for _ in session.receive():
            pass
        await ask(session, "Are there cables?")
        async for message in session.receive():
            if message.tool_call:
                result: Json = {"id": message.tool_call.function_calls[0].id, "name": "stock"}
                await session.send_tool_response(
                    function_responses=[result | {"response": {"left": 3}}]
                )
        await ask(session, "And brakes?")
        heard = 0
        async for _ in session.receive():
            heard += 1
            if heard == LIVE_LEFT.cut_after:
                break
    async with live.connect(model=LIVE_MODEL, config={"response_modalities": ["TEXT"]}) as session:
        await ask(session, "Ahoy?")
        async for _ in session.receive():
            pass


SCENARIOS = (
    Scenario(
        name="openai-realtime",
        about="Realtime with the openai SDK: a refused handshake; one session with spoken and "
        "written questions, a tool call and its result, a refused request, a response that is cut "
        "by its length, one that fails, and one that the client leaves; a transcription session.",
        script=realtime_script,
        drive=realtime_drive,
        websockets=True,
        packages=("openai",),
    ),
    Scenario(
        name="gemini-live",
        about="Gemini Live with the google-genai SDK, behind a TLS end as the SDK speaks nothing "
        "else: a refused handshake; an answer, a tool call and its result, a turn that the client "
        "leaves; a second session.",
        script=live_script,
        drive=live_drive,
        websockets=True,
        packages=("google-genai",),
    ),
)
