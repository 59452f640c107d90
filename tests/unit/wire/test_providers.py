# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.wire.providers import Providers, provider_of_host
from tests.support.calls import CHAT_REQUEST, MESSAGES_REQUEST, call_of
from tests.support.exchanges import make_exchange


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com:443", "openai"),
        ("eu.api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("myteam.openai.azure.com", "azure.ai.openai"),
        ("api.deepseek.com", "deepseek"),
        ("api.groq.com", "groq"),
        ("api.mistral.ai", "mistral_ai"),
        ("api.x.ai", "x_ai"),
        ("us-east5-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("notapi.openai.com.evil.example", None),
        ("localhost:8000", None),
        ("[::1]:8000", None),
        ("", None),
    ],
)
def test_known_hosts_name_the_provider(host: str, provider: str | None) -> None:
    assert provider_of_host(host, {}) == provider


def test_configured_hosts_go_first_and_cover_subdomains() -> None:
    known = {"llm.internal": "vllm", "api.openai.com": "custom"}
    assert provider_of_host("a.llm.internal:80", known) == "vllm"
    assert provider_of_host("api.openai.com", known) == "custom"


def test_server_field_names_the_software_behind_an_unknown_host() -> None:
    exchange = make_exchange(CHAT_REQUEST, {}, host="h", response_fields={"server": "llama.cpp"})
    assert call_of(exchange).provider == "llama.cpp"
    plain = make_exchange(CHAT_REQUEST, {}, host="h", response_fields={"server": "uvicorn"})
    assert call_of(plain).provider == "openai"


def test_without_evidence_the_api_names_the_provider() -> None:
    chat = make_exchange(CHAT_REQUEST, answered=False, host="h")
    assert call_of(chat).provider == "openai"
    messages = make_exchange(MESSAGES_REQUEST, answered=False, host="h", path="/v1/messages")
    assert call_of(messages).provider == "anthropic"


def test_more_hosts_than_are_remembered_change_no_provider() -> None:
    providers = Providers({"llm.example.org": "house"}, max_hosts=2)
    hosts = ["llm.example.org", "api.openai.com", "unknown.example", "api.x.ai"] * 2
    found = [providers.of_host(host) for host in hosts]
    assert found == ["house", "openai", None, "x_ai"] * 2
