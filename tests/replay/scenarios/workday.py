# SPDX-License-Identifier: Apache-2.0
"""The demonstration: several agents, sessions, tools, a sub-agent and errors at the same time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    ToolFailure,
    anthropic_client,
    anthropic_tools,
    anthropic_turn,
    openai_client,
    openai_tools,
    openai_turn,
    tool,
)
from tests.support.llm_answers import (
    Asked,
    Delivery,
    Failure,
    Reply,
    Text,
    Thinking,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, delivered

MODEL = "claude-opus-5"
SMALL_MODEL = "claude-haiku-5"
SHOP = "5d0c1f7e-93b4-4c53-9a53-0b7f3a1c2e10"
MILL = "c2a4e8d6-1b7f-4f0e-8d21-6f5e4d3c2b1a"
SUBAGENT = "a3f19c07d2b84e651"
PACE = Delivery(head_delay_s=0.005, first_token_delay_s=0.03, gap_s=0.002)
CODE_TOOLS = (
    tool("Bash", "Run a shell command.", command="The command"),
    tool("Read", "Read a file.", file_path="Path of the file"),
    tool("Edit", "Replace text.", file_path="Path", old_string="Old", new_string="New"),
    tool(
        "Agent",
        "Start a sub-agent.",
        description="In a few words",
        prompt="The whole task",
        subagent_type="Kind of agent",
    ),
)
SUBAGENT_TOOLS = CODE_TOOLS[:2]
TASK = "List every place that rounds a price and say which of them round before adding up."
FOUND = "Prices are rounded in cart.py line 41 (before adding up) and invoice.py line 12 (after)."
CHILD = "toolu_01ShopSubAgent"

REPLIES: dict[str, list[Reply]] = {
    f"{SHOP}/title": [
        say('{"title": "Fix rounding in the cart"}', tokens=Tokens(input=212, output=11))
    ],
    f"{SHOP}/main": [
        act(
            Thinking(text="I run the tests first to see the failure.", signature="U2hvcC1vbmU="),
            Text(text="I run the tests and hand the search for rounding to a helper."),
            ToolUse(
                id="toolu_01ShopTests",
                name="Bash",
                arguments={"command": "pytest -q tests/test_cart.py"},
            ),
            ToolUse(
                id=CHILD,
                name="Agent",
                arguments={
                    "description": "Find price rounding",
                    "prompt": TASK,
                    "subagent_type": "searcher",
                },
            ),
            tokens=Tokens(input=8420, output=164, cache_write=8100),
            delivery=PACE,
        ),
        act(
            ToolUse(
                id="toolu_01ShopRead", name="Read", arguments={"file_path": "/srv/shop/cart.py"}
            ),
            tokens=Tokens(input=8760, output=51, cache_read=8100, cache_write=320),
            delivery=PACE,
        ),
        say(
            "The cart adds rounded prices. I wait for the helper before I change anything.",
            tokens=Tokens(input=9130, output=24, cache_read=8420, cache_write=350),
            delivery=PACE,
        ),
        act(
            ToolUse(
                id="toolu_01ShopEdit",
                name="Edit",
                arguments={
                    "file_path": "/srv/shop/cart.py",
                    "old_string": "total += round(price * count, 2)",
                    "new_string": "total += price * count",
                },
            ),
            tokens=Tokens(input=9420, output=88, cache_read=8770, cache_write=260),
            delivery=PACE,
        ),
        say(
            "`cart.py` now rounds once, after adding up. `invoice.py` was already right.",
            tokens=Tokens(input=9610, output=31, cache_read=9030, cache_write=190),
            delivery=PACE,
        ),
        Failure(status=529, type="overloaded_error", message="Overloaded"),
        act(
            ToolUse(
                id="toolu_01ShopCheck",
                name="Bash",
                arguments={"command": "pytest -q && git commit -qam 'cart: round once'"},
            ),
            tokens=Tokens(input=9700, output=47, cache_read=9220, cache_write=80),
            delivery=PACE,
        ),
        say(
            "All 34 tests pass and the change is committed as `cart: round once`.",
            tokens=Tokens(input=9830, output=22, cache_read=9300, cache_write=120),
            delivery=PACE,
        ),
    ],
    f"{SHOP}/{SUBAGENT}": [
        act(
            ToolUse(
                id="toolu_01HelperGrep",
                name="Bash",
                arguments={"command": "grep -n 'round(' -r /srv/shop --include=*.py"},
            ),
            tokens=Tokens(input=2210, output=45, cache_write=2100),
            delivery=PACE,
        ),
        say(FOUND, tokens=Tokens(input=2380, output=37, cache_read=2100), delivery=PACE),
    ],
    f"{MILL}/main": [
        delivered(
            say(
                "The mill log has three stops. I would first look at the bearing of the second "
                "roller, because its temperature rises before every stop.",
                tokens=Tokens(input=5200, output=60, cache_write=5000),
                delivery=PACE,
            ),
            cut="hang",
            cut_after=16,
        ),
        act(
            ToolUse(
                id="toolu_01MillLog",
                name="Bash",
                arguments={"command": "tail -n 3 /var/log/mill/roller2.log"},
            ),
            tokens=Tokens(input=5290, output=40, cache_read=5000),
            delivery=PACE,
        ),
        say(
            "Roller 2 stopped at 03:14 with 96 °C at its bearing; rollers 1 and 3 stayed cool.",
            tokens=Tokens(input=5402, output=33, cache_read=5000, cache_write=300),
            delivery=PACE,
        ),
    ],
    "gpt-5": [
        Failure(
            status=429, type="rate_limit_exceeded", message="Too many requests", retry_after_s=0.1
        ),
        act(
            ToolUse(id="call_Tram12Now", name="next_departures", arguments={"stop": "Old Mill"}),
            ToolUse(id="call_TramWorks", name="roadworks", arguments={"line": "12"}),
            tokens=Tokens(input=420, output=41),
            delivery=PACE,
        ),
        act(
            ToolUse(id="call_Tram12Rep", name="next_departures", arguments={"stop": "Ferry"}),
            tokens=Tokens(input=520, output=22, cache_read=384),
            delivery=PACE,
        ),
        say(
            "Line 12 does not stop at Old Mill today; walk to Ferry and leave at 17:26.",
            tokens=Tokens(input=566, output=26, cache_read=448),
            delivery=PACE,
        ),
    ],
    "gpt-5-nano": [
        say("positive", tokens=Tokens(input=48, output=1)),
        say("negative", tokens=Tokens(input=51, output=1)),
        say("neutral", tokens=Tokens(input=45, output=1)),
    ],
}


def script() -> Script:
    """Reply by session and agent, so that overlapping sessions do not disturb each other."""
    left = {key: list(replies) for key, replies in REPLIES.items()}
    lock = threading.Lock()

    def reply(asked: Asked) -> Reply:
        session = asked.fields.get("x-claude-code-session-id")
        agent = asked.fields.get("x-claude-code-agent-id", "main")
        if session and asked.body.get("tools") == []:
            agent = "title"
        key = f"{session}/{agent}" if session else asked.body["model"]
        with lock:
            return left[key].pop(0)

    return reply


class Coder:
    """A coding agent on the anthropic SDK that marks its calls the way Claude Code does."""

    def __init__(self, url: str, session: str) -> None:
        self.session = session
        identity = {"device_id": "0" * 64, "account_uuid": "", "session_id": session}
        self.request: dict[str, Any] = {
            "model": MODEL,
            "max_tokens": 32_000,
            "metadata": {"user_id": json.dumps(identity)},
        }
        self.client = anthropic_client(
            url,
            max_retries=2,
            default_headers={
                "User-Agent": "claude-cli/2.1.330 (external, cli)",
                "x-app": "cli",
                "X-Claude-Code-Session-Id": session,
            },
        )

    def system(self, text: str) -> list[Json]:
        """Return system blocks: a line about the client, then the instructions."""
        client = "x-anthropic-billing-header: cc_version=2.1.330.1a2; cc_entrypoint=cli;"
        return [{"type": "text", "text": client}, {"type": "text", "text": text}]

    def title(self, prompt: str) -> None:
        """Ask for a title of the session."""
        schema = {"type": "object", "properties": {"title": {"type": "string"}}}
        with self.client.messages.stream(
            **self.request,
            system=self.system("Give the session a title of at most six words."),
            messages=[{"role": "user", "content": f"<session>{prompt}</session>"}],
            tools=[],
            thinking={"type": "disabled"},
            extra_body={
                "temperature": 1,
                "output_config": {"format": {"type": "json_schema", "schema": schema}},
            },
        ) as stream:
            stream.get_final_message()

    def turn(self, messages: list[Json], run_tool: Callable[[str, Json], str | ToolFailure]) -> str:
        """Run the main agent until it answers."""
        return anthropic_turn(
            self.client,
            messages,
            run_tool,
            **self.request,
            system=self.system("You change the program in the working directory as asked."),
            tools=anthropic_tools(CODE_TOOLS),
            thinking={"type": "enabled", "budget_tokens": 16_000},
        )

    def subagent(self, task: str, run_tool: Callable[[str, Json], str | ToolFailure]) -> str:
        """Run a sub-agent until it answers."""
        return anthropic_turn(
            self.client,
            [prompt_message(task, "You help another agent. Answer with facts only.")],
            run_tool,
            **self.request,
            system=self.system("You search a program and report."),
            tools=anthropic_tools(SUBAGENT_TOOLS),
            extra_headers={"x-claude-code-agent-id": SUBAGENT},
        )


def prompt_message(prompt: str, reminder: str) -> Json:
    """Return a user message: the client's reminder, then the bare prompt."""
    note = f"<system-reminder>\n{reminder}\n</system-reminder>"
    return {
        "role": "user",
        "content": [{"type": "text", "text": note}, {"type": "text", "text": prompt}],
    }


def notification(result: str) -> Json:
    """Return the user message that brings the result of a background sub-agent."""
    parts = {
        "task-id": SUBAGENT,
        "tool-use-id": CHILD,
        "status": "completed",
        "result": result,
        "usage": "tokens: 4672",
    }
    inner = "\n".join(f"<{name}>{text}</{name}>" for name, text in parts.items())
    text = f"<system-reminder>\n<task-notification>\n{inner}\n</task-notification>\n"
    return {"role": "user", "content": [{"type": "text", "text": f"{text}</system-reminder>"}]}


def shop(url: str) -> None:
    """Fix a program: title call, tools, a sub-agent in the background, 529 and retry."""
    coder = Coder(url, SHOP)
    results: dict[str, str | ToolFailure] = {
        "pytest -q tests/test_cart.py": ToolFailure("1 failed: 10.01 != 10.00 in test_total"),
        "grep -n 'round(' -r /srv/shop --include=*.py": "cart.py:41: round(\ninvoice.py:12: round(",
    }

    def run_tool(name: str, arguments: Json) -> str | ToolFailure:
        match name:
            case "Agent":
                helpers.append(pool.submit(coder.subagent, arguments["prompt"], run_tool))
                return f"Started in the background. agent id: {SUBAGENT}"
            case "Bash":
                return results.get(arguments["command"], "34 passed in 0.81s")
            case "Read":
                return "40  for price, count in items:\n41      total += round(price * count, 2)"
        return "The file has been changed."

    helpers: list[Any] = []
    prompt = "The cart is one cent off for three items. Find out why and fix it."
    with ThreadPoolExecutor(max_workers=2) as pool, coder.client:
        title = pool.submit(coder.title, prompt)
        messages = [prompt_message(prompt, "The working directory is /srv/shop.")]
        coder.turn(messages, run_tool)
        title.result()
        messages.append(notification(helpers[0].result()))
        coder.turn(messages, run_tool)
        messages.append(prompt_message("Run everything and commit.", "Tokens left: 190000"))
        coder.turn(messages, run_tool)


def mill(url: str) -> None:
    """A user interrupts the first answer and asks again."""
    coder = Coder(url, MILL)
    messages = [prompt_message("Why did the mill stop last night?", "Directory: /srv/mill")]
    with coder.client:
        request: Any = dict(coder.request, system=coder.system("You read logs."))
        tools = anthropic_tools(CODE_TOOLS)
        with coder.client.messages.create(
            messages=messages, tools=tools, stream=True, **request
        ) as stream:
            for count, _ in enumerate(stream, 1):
                if count == 15:  # and the ping, which the SDK keeps to itself
                    break
        messages.append(
            {"role": "assistant", "content": [{"type": "text", "text": "The mill log has three"}]}
        )
        messages.append(prompt_message("Only roller 2, please.", "The user interrupted."))
        coder.turn(messages, lambda name, arguments: "03:14:02 bearing 96 C, stop")


TRAM_TOOLS = (
    tool("next_departures", "Departures at a stop.", stop="Name of the stop"),
    tool("roadworks", "Roadworks on a line.", line="Number of the line"),
)
TRAM_RESULTS = {
    "Old Mill": "[]",
    "Ferry": '[{"line": 12, "at": "17:26"}, {"line": 12, "at": "17:41"}]',
}


def tram(url: str) -> None:
    """An agent of nobody's make on the openai SDK, and three calls of a classifier."""
    messages: list[Json] = [
        {"role": "system", "content": "You help passengers of the tram."},
        {"role": "user", "content": "When does the next 12 leave from Old Mill?"},
    ]

    def run_tool(name: str, arguments: Json) -> str:
        if name == "roadworks":
            return "Old Mill is closed until 20 November."
        return TRAM_RESULTS[arguments["stop"]]

    with openai_client(url) as client:
        openai_turn(
            client,
            messages,
            run_tool,
            model="gpt-5",
            tools=openai_tools(TRAM_TOOLS),
            stream_options={"include_usage": True},
        )
        for text in ("The driver waited for me!", "Late again.", "It is a tram."):
            client.chat.completions.create(
                model="gpt-5-nano",
                messages=[
                    {"role": "system", "content": "Answer positive, negative or neutral."},
                    {"role": "user", "content": text},
                ],
                max_completion_tokens=3,
            )


def drive(url: str) -> None:
    """Run all of them at the same time."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        for job in [pool.submit(work, url) for work in (shop, mill, tram)]:
            job.result()


SCENARIOS = (
    Scenario(
        name="agents-workday",
        about="Three programs at work at the same time. Two of them mark their calls as Claude "
        "Code does (user agent, session and agent ids) and send our own words: one fixes a "
        "program with tools, a title call, a sub-agent in the background, 529 and retry, over two "
        "prompts; the other is interrupted in its first answer. The third is an agent of nobody's "
        "make with parallel tools, 429 and retry, and three calls outside any agent.",
        script=script,
        drive=drive,
    ),
)
