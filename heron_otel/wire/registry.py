# SPDX-License-Identifier: Apache-2.0
"""The wire APIs that are parsed. A new one is a module and a line here."""

from __future__ import annotations

from heron_otel.wire.anthropic_messages import AnthropicMessages
from heron_otel.wire.api import WireApi
from heron_otel.wire.bedrock_converse import BedrockConverse
from heron_otel.wire.bedrock_invoke import BedrockInvoke
from heron_otel.wire.cohere import CohereChat
from heron_otel.wire.completions import TextCompletions
from heron_otel.wire.embeddings import Embeddings, GeminiEmbeddings
from heron_otel.wire.gemini import Gemini
from heron_otel.wire.gemini_live import GeminiLiveOverWebSocket
from heron_otel.wire.mistral_conversations import MistralConversations
from heron_otel.wire.native_generate import NATIVE
from heron_otel.wire.ollama import OllamaChat, OllamaGenerate
from heron_otel.wire.openai_chat import OpenAiChat
from heron_otel.wire.openai_realtime_session import RealtimeOverWebSocket
from heron_otel.wire.openai_realtime_speech import TranslationOverWebSocket
from heron_otel.wire.openai_responses import OpenAiResponses
from heron_otel.wire.openai_responses_socket import ResponsesOverWebSocket
from heron_otel.wire.operations import NATIVE_OPERATIONS
from heron_otel.wire.socket_api import SocketApi
from heron_otel.wire.vertex import AnthropicOnVertex, ChatOnVertex

# The first whose shape matches a body takes it: an API with marks of its own stands before one
# whose shape is also that of others.
WIRE_APIS: tuple[WireApi, ...] = (
    AnthropicMessages(),
    OpenAiChat(),
    OpenAiResponses(),
    Gemini(),
)

# Paths that other services have too: path and body together name these.
CONFIRMED_APIS: tuple[WireApi, ...] = (
    Embeddings("openai-embeddings", "openai", "/embeddings"),
    Embeddings("ollama", "ollama", "/api/embed"),
    GeminiEmbeddings(),
    TextCompletions(),
    OllamaChat(),
    OllamaGenerate(),
    CohereChat(),
    BedrockConverse(),
    BedrockInvoke(),
    AnthropicOnVertex(),
    ChatOnVertex(),
    MistralConversations(),
)

# APIs over WebSocket, told by the request of the handshake.
SOCKET_APIS: tuple[SocketApi, ...] = (
    ResponsesOverWebSocket(),
    RealtimeOverWebSocket(),
    TranslationOverWebSocket(),
    GeminiLiveOverWebSocket(),
)


# Paths that say nothing by themselves (``/generate``): only with the members of the API they are
# calls, and without them they are not even recognised.
NATIVE_APIS: tuple[WireApi, ...] = (*NATIVE, *NATIVE_OPERATIONS)
