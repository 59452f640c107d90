# SPDX-License-Identifier: Apache-2.0
"""Names of span attributes, and the version of the conventions each comes from.

GenAI names: open-telemetry/semantic-conventions v1.41.0 (the last release with the GenAI text)
and open-telemetry/semantic-conventions-genai, its successor ("latest"). Where the two differ,
the name says so. General names (``server.*``, ``error.type``, ``http.*``): v1.41.0, stable.
Names that start with ``heron.`` are ours (ARCHITECTURE.md, "Names of our own").
"""

from __future__ import annotations

import enum
from typing import Final


class SemconvVersion(enum.StrEnum):
    """Which names spans carry."""

    V1_41 = "v1.41"
    LATEST = "latest"
    DUP = "dup"  # latest, and the v1.41 name beside each renamed or removed one

    @property
    def latest(self) -> bool:
        """Whether names of the latest conventions are written."""
        return self is not SemconvVersion.V1_41

    @property
    def legacy(self) -> bool:
        """Whether names that the latest conventions renamed or removed are written."""
        return self is not SemconvVersion.LATEST


SCOPE_NAME: Final = "heron_otel"

# Operations (gen_ai.operation.name) that telemetry itself decides.
INVOKE_AGENT: Final = "invoke_agent"
EXECUTE_TOOL: Final = "execute_tool"

# Resource, v1.41.
SERVICE_NAME: Final = "service.name"
TELEMETRY_DISTRO_NAME: Final = "telemetry.distro.name"
TELEMETRY_DISTRO_VERSION: Final = "telemetry.distro.version"
UNKNOWN_SERVICE: Final = "unknown_service:llm"

# General, v1.41.
CLIENT_ADDRESS: Final = "client.address"
CLIENT_PORT: Final = "client.port"
ERROR_TYPE: Final = "error.type"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
NETWORK_PEER_ADDRESS: Final = "network.peer.address"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SESSION_ID: Final = "session.id"
OTHER_ERROR: Final = "_OTHER"  # error.type when no class is known
USER_AGENT_ORIGINAL: Final = "user_agent.original"

# GenAI, the same in v1.41 and latest.
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OPERATION_NAME: Final = "gen_ai.operation.name"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
OUTPUT_TYPE: Final = "gen_ai.output.type"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"  # a double in v1.41, an integer in latest
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOKEN_TYPE: Final = "gen_ai.token.type"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

# MCP, the same in v1.41 and latest.
JSONRPC_REQUEST_ID: Final = "jsonrpc.request.id"
MCP_METHOD_NAME: Final = "mcp.method.name"
MCP_PROTOCOL_VERSION: Final = "mcp.protocol.version"
MCP_RESOURCE_URI: Final = "mcp.resource.uri"
MCP_SESSION_ID: Final = "mcp.session.id"
MCP_TOOLS_CALL: Final = "tools/call"
MCP_PROMPTS_GET: Final = "prompts/get"
NETWORK_PROTOCOL_NAME: Final = "network.protocol.name"
NETWORK_TRANSPORT: Final = "network.transport"
PROMPT_NAME: Final = "gen_ai.prompt.name"
RPC_RESPONSE_STATUS_CODE: Final = "rpc.response.status_code"

# GenAI, latest only.
TOKEN_MODALITY: Final = "gen_ai.token.modality"
USAGE_AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
USAGE_AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
USAGE_CACHE_WRITE_INPUT_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"

# GenAI, v1.41 only: renamed to cache_write; removed from in-process invoke_agent spans.
USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
AGENT_VERSION: Final = "gen_ai.agent.version"

# OpenAI refinement, v1.41 and latest; for the wire APIs that the conventions count to OpenAI.
OPENAI_WIRE_APIS: Final = frozenset({"openai-chat", "openai-responses"})
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"

# Ours, on every span.
HERON_SESSION_ID: Final = "heron.session.id"
HERON_SOURCE: Final = "heron.source"
HERON_CONTENT_TRUNCATED: Final = "heron.content.truncated"
HERON_LINK_TYPE: Final = "heron.link.type"

# Ours, on call spans.
HERON_CACHE_CHANGED_INDEX: Final = "heron.cache.changed_index"
HERON_CACHE_CHANGED_PART: Final = "heron.cache.changed_part"
HERON_CACHE_IDLE: Final = "heron.cache.idle"
HERON_CACHE_MISS: Final = "heron.cache.miss"
HERON_CACHE_MISSED_COST: Final = "heron.cache.missed_cost"
HERON_CACHE_MISSED_TOKENS: Final = "heron.cache.missed_tokens"
HERON_CALL_AUXILIARY_KIND: Final = "heron.call.auxiliary_kind"
HERON_CALL_INCOMPLETE: Final = "heron.call.incomplete"
HERON_CALL_LATE: Final = "heron.call.late"
HERON_CALL_ROLE: Final = "heron.call.role"
HERON_CALL_OUTCOME: Final = "heron.call.outcome"  # metrics only
HERON_CALL_STATUS_CLASS: Final = "heron.call.status_class"  # metrics only
HERON_CAPTURE_DROPPED_BYTES: Final = "heron.capture.dropped_bytes"
HERON_CAPTURE_INCOMPLETE: Final = "heron.capture.incomplete"
HERON_CAPTURE_LOST_BYTES: Final = "heron.capture.lost_bytes"
HERON_CAPTURE_POLICY: Final = "heron.capture.policy"
HERON_CAPTURE_TRUNCATED: Final = "heron.capture.truncated"
HERON_COST_BOOK: Final = "heron.cost.book"
HERON_COST_CACHE_READ: Final = "heron.cost.cache_read"
HERON_COST_CACHE_WRITE: Final = "heron.cost.cache_write"
HERON_COST_FEES: Final = "heron.cost.fees"
HERON_COST_INPUT: Final = "heron.cost.input"
HERON_COST_OUTPUT: Final = "heron.cost.output"
HERON_COST_REPORTED: Final = "heron.cost.reported"
HERON_COST_TIER: Final = "heron.cost.tier"
HERON_COST_TOTAL: Final = "heron.cost.total"  # all costs are US dollars
HERON_COST_UNKNOWN: Final = "heron.cost.unknown"
HERON_EMBEDDINGS_INPUT_COUNT: Final = "heron.embeddings.input_count"
HERON_HOP_COUNT: Final = "heron.hop.count"
HERON_HOP_FIRST_TOKEN_OVERHEAD: Final = "heron.hop.first_token_overhead"
HERON_HOP_INDEX: Final = "heron.hop.index"
HERON_HOP_MIRRORS: Final = "heron.hop.mirrors"
HERON_HOP_MODEL_SUBSTITUTED: Final = "heron.hop.model_substituted"
HERON_HOP_BACKEND_MODEL: Final = "heron.hop.backend_model"
HERON_HOP_OVERHEAD: Final = "heron.hop.overhead"
HERON_HOP_TRANSLATED: Final = "heron.hop.translated"
HERON_INPUT_BYTES: Final = "heron.input.bytes"
HERON_INPUT_COUNT: Final = "heron.input.count"
HERON_INPUT_DURATION: Final = "heron.input.duration"
HERON_MODEL_MISMATCH: Final = "heron.model.mismatch"
HERON_OUTPUT_BYTES: Final = "heron.output.bytes"
HERON_OUTPUT_COUNT: Final = "heron.output.count"
HERON_OUTPUT_SOURCES: Final = "heron.output.sources"
HERON_OUTPUT_CHUNKS: Final = "heron.output_chunks"
HERON_RATELIMIT: Final = "heron.ratelimit."  # and a suffix of ServerFacts.rate_limits
HERON_REQUEST_ID: Final = "heron.response.request_id"
HERON_RETRY_AFTER: Final = "heron.response.retry_after"
HERON_SERVER_GENERATION_TIME: Final = "heron.server.generation_time"
HERON_SERVER_LOAD_TIME: Final = "heron.server.load_time"
HERON_SERVER_PROCESSING_TIME: Final = "heron.server.processing_time"
HERON_SERVER_PROMPT_TIME: Final = "heron.server.prompt_time"
HERON_SERVER_QUEUE_TIME: Final = "heron.server.queue_time"
HERON_SERVER_UPSTREAM_TIME: Final = "heron.server.upstream_time"
HERON_SERVICE_TIER: Final = "heron.response.service_tier"
HERON_NATIVE_STOP_REASON: Final = "heron.response.native_stop_reason"
HERON_UPSTREAM_PROVIDER: Final = "heron.response.upstream_provider"
HERON_STOP_REASON: Final = "heron.response.stop_reason"
HERON_TIME_PER_OUTPUT_CHUNK: Final = "heron.time_per_output_chunk"
HERON_TIME_PER_OUTPUT_TOKEN: Final = "heron.time_per_output_token"
HERON_TIME_TO_FIRST_BYTE: Final = "heron.time_to_first_byte"
HERON_TIME_TO_LAST_TOKEN: Final = "heron.time_to_last_token"
HERON_USAGE_CACHE_WRITE_1H: Final = "heron.usage.cache_write_1h.input_tokens"
HERON_USAGE_ESTIMATED: Final = "heron.usage.estimated"
HERON_WIRE_API: Final = "heron.wire_api"

# Ours, on spans of later hops; see also those of calls.
HERON_HOP_CACHE_READ_TOKENS: Final = "heron.hop.cache_read_tokens"
HERON_HOP_CACHE_WRITE_TOKENS: Final = "heron.hop.cache_write_tokens"
HERON_HOP_FIELDS_ADDED: Final = "heron.hop.fields_added"
HERON_HOP_FIELDS_CHANGED: Final = "heron.hop.fields_changed"
HERON_HOP_FIELDS_REMOVED: Final = "heron.hop.fields_removed"
HERON_HOP_INPUT_TOKENS: Final = "heron.hop.input_tokens"
HERON_HOP_LATE: Final = "heron.hop.late"
HERON_HOP_OUTER: Final = "heron.hop.outer"
HERON_HOP_OUTPUT_TOKENS: Final = "heron.hop.output_tokens"
HERON_HOP_REQUEST_MODEL: Final = "heron.hop.request_model"
HERON_HOP_RESPONSE_MODEL: Final = "heron.hop.response_model"

# Ours, on turn and sub-agent spans.
HERON_SUBAGENT_CALLS: Final = "heron.subagent.calls"
HERON_SUBAGENT_COST: Final = "heron.subagent.cost"
HERON_SUBAGENT_ID: Final = "heron.subagent.id"
HERON_TURN_AUXILIARY_CALLS: Final = "heron.turn.auxiliary_calls"
HERON_TURN_AUXILIARY_COST: Final = "heron.turn.auxiliary_cost"
HERON_TURN_CACHE_MISSED_COST: Final = "heron.turn.cache_missed_cost"
HERON_TURN_CACHE_MISSED_TOKENS: Final = "heron.turn.cache_missed_tokens"
HERON_TURN_CALLS: Final = "heron.turn.calls"
HERON_TURN_COST: Final = "heron.turn.cost"
HERON_TURN_ERROR_CALLS: Final = "heron.turn.error_calls"
HERON_TURN_INDEX: Final = "heron.turn.index"
HERON_TURN_INPUT_TOKENS: Final = "heron.turn.input_tokens"
HERON_TURN_CACHE_READ_TOKENS: Final = "heron.turn.cache_read_tokens"
HERON_TURN_CACHE_WRITE_TOKENS: Final = "heron.turn.cache_write_tokens"
HERON_TURN_LOOP_REPEATS: Final = "heron.turn.loop_repeats"
HERON_TURN_MODELS: Final = "heron.turn.models"
HERON_TURN_OUTPUT_TOKENS: Final = "heron.turn.output_tokens"
HERON_TURN_REASONING_TOKENS: Final = "heron.turn.reasoning_tokens"
HERON_TURN_STUCK: Final = "heron.turn.stuck"  # also the name of the log event
HERON_TURN_STATUS: Final = "heron.turn.status"
HERON_TURN_SUBAGENTS: Final = "heron.turn.subagents"
HERON_TURN_TOOL_CALLS: Final = "heron.turn.tool_calls"
HERON_TURN_UNPRICED_CALLS: Final = "heron.turn.unpriced_calls"

# Ours, on MCP spans.
HERON_MCP_BY_SERVER: Final = "heron.mcp.by_server"
HERON_MCP_CLIENT_NAME: Final = "heron.mcp.client_name"
HERON_MCP_ITEMS: Final = "heron.mcp.items"
HERON_MCP_NOTIFICATIONS: Final = "heron.mcp.notifications"
HERON_MCP_SERVER_NAME: Final = "heron.mcp.server_name"
HERON_MCP_TRANSPORT: Final = "heron.mcp.transport"

# Ours, on tool spans.
HERON_INFERRED: Final = "heron.inferred"
HERON_TOOL_ARGUMENTS_BYTES: Final = "heron.tool.arguments_bytes"
HERON_TOOL_EXIT_CODE: Final = "heron.tool.exit_code"
HERON_TOOL_OUTCOME: Final = "heron.tool.outcome"
HERON_TOOL_REPORTED_DURATION: Final = "heron.tool.reported_duration"
HERON_TOOL_RESULT_BYTES: Final = "heron.tool.result_bytes"
HERON_TOOL_RETRY: Final = "heron.tool.retry"
HERON_TOOL_TIMING: Final = "heron.tool.timing"

# Ours, on the log event heron.turn.stuck.
HERON_STUCK_KIND: Final = "heron.stuck.kind"
HERON_STUCK_COUNT: Final = "heron.stuck.count"
HERON_STUCK_DURATION: Final = "heron.stuck.duration"  # s
HERON_STUCK_CALL: Final = "heron.stuck.call"  # span id of the call that showed it

# Values of heron.link.type.
LINK_PREVIOUS_TURN: Final = "previous_turn"
LINK_RETRY_OF: Final = "retry_of"
LINK_TRACEPARENT: Final = "traceparent"
