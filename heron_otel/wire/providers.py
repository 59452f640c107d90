# SPDX-License-Identifier: Apache-2.0
"""``gen_ai.provider.name`` from the host of a request and from evidence in its response."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heron_otel.records.http import HttpResponse, field_value

# Source: GenAI conventions, well-known values of gen_ai.provider.name, and the API hosts that
# these providers document. A host matches with all its subdomains.
_HOSTS: Mapping[str, str] = {
    "api.openai.com": "openai",
    "chatgpt.com": "openai",
    "api.anthropic.com": "anthropic",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "inference.ai.azure.com": "azure.ai.inference",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "cloudcode-pa.googleapis.com": "gcp.gen_ai",  # Gemini Code Assist
    "cohere.com": "cohere",
    "cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.mistral.ai": "mistral_ai",
    "codestral.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
}
MAX_HOSTS = 1024
"""Hosts whose provider is remembered; a client rarely talks to more than ten."""
_VERTEX_SUFFIX = "-aiplatform.googleapis.com"  # regional hosts: us-east5-aiplatform...
_BEDROCK_PREFIXES = ("bedrock-runtime.", "bedrock-runtime-fips.", "bedrock.")
# Google's resource names: publishers.models of Vertex AI, Code Assist, models of AI Studio.
_RESOURCES = re.compile(
    r"/(?:(?P<vertex>(?:projects/[^/]+/locations|publishers)/[^:]+)|(?P<assist>v1internal)"
    r"|(?P<studio>v1(?:alpha|beta)?/(?:models|tunedModels)/[^/:]+)):"
)
_RESOURCE_PROVIDERS: Mapping[str, str] = {
    "vertex": "gcp.vertex_ai",
    "assist": "gcp.gen_ai",
    "studio": "gcp.gemini",
}
_AZURE_DEPLOYMENTS = "/openai/deployments/"
_SERVERS: Mapping[str, str] = {"llama.cpp": "llama.cpp", "ollama": "ollama", "vllm": "vllm"}


class Providers:
    """Providers by host, looked up once for each of the last hosts seen.

    ``known`` are host names of the configuration; they go before the built-in ones.
    """

    def __init__(self, known: Mapping[str, str], *, max_hosts: int = MAX_HOSTS) -> None:
        self._known = dict(known)
        self._max_hosts = max_hosts
        self._found: dict[str, str | None] = {}

    def of_host(self, host: str) -> str | None:
        """Return the provider that serves ``host`` (may hold a port), or None."""
        try:
            return self._found[host]
        except KeyError:
            pass
        if len(self._found) >= self._max_hosts:
            self._found.clear()  # it costs a few microseconds to find each of them again
        provider = self._found[host] = provider_of_host(host, self._known)
        return provider


def provider_of_host(host: str, known: Mapping[str, str]) -> str | None:
    """Return the provider that serves ``host`` (may hold a port), or None.

    ``known`` are host names of the configuration; they go before the built-in ones.
    """
    name = host.lower()
    if not name.startswith("["):
        name = name.partition(":")[0]
    name = name.rstrip(".")
    if name.endswith(".amazonaws.com") and name.startswith(_BEDROCK_PREFIXES):
        return known.get(name, "aws.bedrock")
    if name.endswith(_VERTEX_SUFFIX):
        return known.get(name, "gcp.vertex_ai")
    while name:
        found = known.get(name) or _HOSTS.get(name)
        if found is not None:
            return found
        name = name.partition(".")[2]
    return None


def provider_of_path(path: str) -> str | None:
    """Return the provider whose resource names ``path`` has, behind whatever host, or None."""
    if _AZURE_DEPLOYMENTS in path:
        return "azure.ai.openai"
    if ":" not in path:
        return None
    match = _RESOURCES.search(path)
    return None if match is None else _RESOURCE_PROVIDERS[match.lastgroup or ""]


def provider_of_response(response: HttpResponse) -> str | None:
    """Return the server software that the ``Server`` field names, or None."""
    server = field_value(response.fields, "server")
    if server is None:
        return None
    return _SERVERS.get(server.lower().partition("/")[0])
