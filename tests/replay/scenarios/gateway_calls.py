# SPDX-License-Identifier: Apache-2.0
"""The LiteLLM proxy between official SDKs and the scripted server: each call crosses twice.

Recording installs LiteLLM into ``.cache/litellm`` (750 MB); replaying does not need it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anthropic
import openai

from tests.replay.scenarios.scenario import (
    OPENAI_KEY,
    Json,
    Scenario,
    anthropic_tools,
    anthropic_turn,
    failing,
    openai_tools,
    openai_turn,
    tool,
)
from tests.support.llm_answers import (
    Asked,
    Delivery,
    Failure,
    Plain,
    Reply,
    Text,
    Tokens,
    ToolUse,
    act,
    say,
)
from tests.support.llm_server import Script, in_order
from tests.support.pypi_clients import install

GATEWAY = "http://127.0.0.1:4000"
GATEWAY_KEY = "sk-gateway-dummy-not-a-key"
CHAT, TRANSLATED, SAME = "front-chat", "front-translated", "front-messages"
PLAIN = "front-plain"
COLD = "Is the lamp of Osmussaar lit?"
BACKEND, BACKEND_CLAUDE = "gpt-5.2-mini", "claude-sonnet-4-5"
RANGE = tool("range", "Range of a lamp.", name="Name of the lighthouse.")
RANGES = {"Sõrve": "15 miles", "Tahkuna": "18 miles"}
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "NO_DOCS": "True",
}


def _config(url: str) -> Json:
    """Return the configuration of the proxy: three names, two models behind them."""

    def model(name: str, backend: str, base: str) -> Json:
        parameters = {"model": backend, "api_base": base, "api_key": OPENAI_KEY}
        return {"model_name": name, "litellm_params": parameters}

    return {
        "model_list": [
            model(CHAT, f"openai/{BACKEND}", f"{url}/v1"),
            model(TRANSLATED, f"openai/{BACKEND}", f"{url}/v1"),
            model(PLAIN, f"hosted_vllm/{BACKEND}", f"{url}/v1"),
            model(SAME, f"anthropic/{BACKEND_CLAUDE}", url),
        ],
        "litellm_settings": {
            "telemetry": False,
            "num_retries": 0,
            "request_timeout": 30,
        },
        "general_settings": {"master_key": GATEWAY_KEY},
        "router_settings": {"num_retries": 1, "retry_after": 0, "disable_cooldowns": True},
    }


@contextmanager
def gateway(url: str) -> Iterator[None]:
    """Run the LiteLLM proxy in front of ``url``; raises when it does not start."""
    command = install("litellm", "litellm", "litellm[proxy]")
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "config.yaml"
        config.write_text(json.dumps(_config(url)), encoding="utf-8")
        environment = {"HOME": home, "PATH": f"{command.parent}:{os.defpath}", **QUIET}
        arguments = [command, "--config", config, "--host", "127.0.0.1", "--port", "4000"]
        with subprocess.Popen(
            arguments,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                said = []
                for line in process.stdout or ():
                    said.append(line)
                    if "Application startup complete" in line:
                        break
                else:
                    raise RuntimeError("litellm did not start: " + "".join(said))
                assert process.stdout is not None
                # A full pipe would stop the proxy.
                threading.Thread(target=process.stdout.read, daemon=True).start()
                yield
            finally:
                process.kill()


def script() -> Script:
    """Answers in the order of ``drive``."""
    looks = (
        ToolUse(id="call_Sorve0123456789ab", name="range", arguments={"name": "Sõrve"}),
        ToolUse(id="call_Tahkuna123456789a", name="range", arguments={"name": "Tahkuna"}),
    )
    both = "Sõrve 15, Tahkuna 18 miles."
    cached = Tokens(input=480, output=12, cache_read=256)
    slow = Delivery(gap_s=0.005, first_token_delay_s=0.03)
    answers = in_order(
        [
            say("It shines.", tokens=Tokens(input=14, output=4)),
            say("Every seven seconds.", tokens=cached, delivery=slow),
            act(Text(text="I ask."), *looks, tokens=Tokens(input=90, output=40)),
            say(both, tokens=Tokens(input=160, output=12)),
            say("It is lit.", tokens=Tokens(input=15, output=4)),
            say("It is white.", tokens=Tokens(input=14, output=4)),
            say("Every nine seconds.", tokens=cached, delivery=slow),
            act(*looks, tokens=Tokens(input=90, output=40)),
            say(both, tokens=Tokens(input=160, output=12)),
            act(Text(text="I ask."), *looks, tokens=cached),
            say(both, tokens=Tokens(input=170, output=12), delivery=slow),
            say("It is red.", tokens=Tokens(input=14, output=4)),
            act(Text(text="I ask."), *looks[:1], tokens=Tokens(input=90, output=20)),
            say("Sõrve 15 miles.", tokens=Tokens(input=130, output=8), delivery=slow),
            Failure(status=500, type="server_error", message="Broken for a moment."),
            say("After a retry.", tokens=Tokens(input=14, output=4)),
            Failure(status=400, type="invalid_request_error", message="No such lamp."),
        ]
    )

    def script(asked: Asked) -> Reply:
        # The proxy asks for its own prices, which nobody here has.
        return answers(asked) if asked.wire_api else Plain(status=404, body={})

    return script


def drive(url: str) -> None:
    """The same model through three names: as it is, translated, and of another API."""
    with (
        gateway(url),
        openai.OpenAI(base_url=f"{GATEWAY}/v1", api_key=GATEWAY_KEY, max_retries=0) as chat,
        anthropic.Anthropic(base_url=GATEWAY, api_key=GATEWAY_KEY, max_retries=0) as messages,
    ):
        usage: Json = {"include_usage": True}
        prompt = [{"role": "user", "content": "Does the lamp of Kõpu shine?"}]
        chat.chat.completions.create(model=CHAT, messages=prompt)
        often = [{"role": "user", "content": "How often does it flash?"}]
        for _ in chat.chat.completions.create(
            model=CHAT, messages=often, stream=True, stream_options=usage
        ):
            pass
        asked = [{"role": "user", "content": "How far do Sõrve and Tahkuna shine?"}]
        request: Json = {"model": CHAT, "tools": openai_tools([RANGE]), "stream_options": usage}
        openai_turn(chat, asked, _range, **request)
        # The first translated call waits until the proxy has loaded its translators, for seconds.
        cold = [{"role": "user", "content": COLD}]
        messages.messages.create(model=TRANSLATED, max_tokens=200, messages=cold)
        colour = [{"role": "user", "content": "Which colour has it?"}]
        messages.messages.create(model=TRANSLATED, max_tokens=200, messages=colour)
        often = [{"role": "user", "content": "How often does it flash at night?"}]
        with messages.messages.stream(model=TRANSLATED, max_tokens=200, messages=often) as stream:
            stream.until_done()
        tools = anthropic_tools([RANGE])
        for name, question in (
            (TRANSLATED, "How far do both shine?"),
            (PLAIN, "How far do they shine at night?"),
            (SAME, "How far is it?"),
        ):
            if name == SAME:
                second = [{"role": "user", "content": "Which colour has the other?"}]
                messages.messages.create(model=SAME, max_tokens=200, messages=second)
            asked = [{"role": "user", "content": question}]
            anthropic_turn(messages, asked, _range, model=name, max_tokens=200, tools=tools)
        again = [{"role": "user", "content": "And once more?"}]
        chat.chat.completions.create(model=CHAT, messages=again)
        with failing(openai.BadRequestError):
            wrong = [{"role": "user", "content": "And a lamp that is none?"}]
            chat.chat.completions.create(model=CHAT, messages=wrong)


def _range(name: str, arguments: dict[str, Json]) -> str:
    return RANGES[arguments["name"]]


SCENARIOS = (
    Scenario(
        name="gateway-litellm",
        about="The LiteLLM proxy (1.108.7) as a hop: Chat Completions through it under another "
        "model name, Messages translated to Responses or Chat Completions, Messages passed on; "
        "whole and streamed, tool loops, a retry by the proxy, an error. Both legs are in the "
        "capture. The first translated call waits more than a second inside the proxy.",
        script=script,
        drive=drive,
        packages=("openai", "anthropic"),
        gateway=True,
    ),
)
