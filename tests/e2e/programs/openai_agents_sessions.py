# SPDX-License-Identifier: Apache-2.0
"""Sessions of OpenAI Agents, for ``test_openai_agents.py``: run as ``... URL SESSION...``.

It runs in an environment of its own, with the pinned version of the library.
"""

from __future__ import annotations

import asyncio
import sys

import httpx2
from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

OFFICIAL = "https://api.openai.com/v1"
FIRST = "How many boats and oars are in the harbour of Kuivastu?"
SECOND = "And who counted them?"


class Redirected(httpx2.AsyncHTTPTransport):
    """Sends what is meant for the official address, where the library says more, to a server."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        at = {"scheme": self._url.scheme, "host": self._url.host, "port": self._url.port}
        request.url = request.url.copy_with(**at)
        return await super().handle_async_request(request)


@function_tool
def count_boats(harbour: str) -> str:
    """Count the boats of a harbour."""
    return f"12 boats in {harbour}"


@function_tool
def count_oars(harbour: str) -> str:
    """Count the oars of a harbour."""
    if harbour == "nowhere":
        raise ValueError("no such harbour")
    return f"40 oars in {harbour}"


def client(url: str) -> AsyncOpenAI:
    """Return a client of the scripted server."""
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-dummy-not-a-key")


def clerk(model: Model) -> Agent[None]:
    """Return an agent with two plain tools."""
    return Agent(
        name="Clerk",
        instructions="You keep the books of a harbour.",
        model=model,
        tools=[count_boats, count_oars],
    )


def desk(model: Model) -> Agent[None]:
    """Return an agent that has another one as a tool, and a third one to hand over to."""
    counter = Agent(
        name="Counter",
        instructions="You count what lies in a harbour.",
        model=model,
        tools=[count_boats],
    )
    registrar = Agent(
        name="Registrar", instructions="You know who counted what.", model=model, tools=[count_oars]
    )
    return Agent(
        name="Desk",
        instructions="You answer the questions of guests.",
        model=model,
        tools=[counter.as_tool("ask_counter", "Let somebody count.")],
        handoffs=[registrar],
    )


async def history(agent: Agent[None], *, streamed: bool) -> None:
    """Ask twice; the program keeps the history."""
    items: list[object] = []
    for prompt in (FIRST, SECOND):
        asked = [*items, {"role": "user", "content": prompt}]
        if streamed:
            result = Runner.run_streamed(agent, asked)
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(agent, asked)
        items, agent = result.to_input_list(), result.last_agent


async def kept(agent: Agent[None]) -> None:
    """Ask twice in a session that the library keeps."""
    session = SQLiteSession("guest-17")
    for prompt in (FIRST, SECOND):
        await Runner.run(agent, prompt, session=session)


async def chained(agent: Agent[None]) -> None:
    """Ask twice; the server keeps the history."""
    first = await Runner.run(agent, FIRST, auto_previous_response_id=True)
    await Runner.run(agent, SECOND, previous_response_id=first.last_response_id)


async def stored(agent: Agent[None]) -> None:
    """Ask twice in a conversation that the server keeps."""
    for prompt in (FIRST, SECOND):
        await Runner.run(agent, prompt, conversation_id="conv_0123456789abcdef")


async def run(url: str, session: str) -> None:
    """Run one session of two prompts."""
    chat = OpenAIChatCompletionsModel("gpt-5-mini", client(url))
    responses = OpenAIResponsesModel("gpt-5-mini", client(url))
    official = AsyncOpenAI(
        base_url=OFFICIAL,
        api_key="sk-dummy-not-a-key",
        http_client=httpx2.AsyncClient(transport=Redirected(url)),
    )
    known = OpenAIResponsesModel("gpt-5-mini", official)
    match session:
        case "responses":
            await history(clerk(responses), streamed=False)
        case "responses-streamed":
            await history(desk(responses), streamed=True)
        case "chat":
            await history(clerk(chat), streamed=False)
        case "chat-streamed":
            await history(desk(chat), streamed=True)
        case "kept":
            await kept(desk(known))
        case "chained":
            await chained(clerk(responses))
        case "stored":
            await stored(clerk(responses))


async def main(url: str, *sessions: str) -> None:
    """Run the sessions one after another."""
    for session in sessions:
        await run(url, session)


set_tracing_disabled(True)
asyncio.run(main(*sys.argv[1:]))
