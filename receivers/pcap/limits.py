# SPDX-License-Identifier: Apache-2.0
"""Settings to what the native core takes."""

from __future__ import annotations

from heron_otel.native.capture import SENSITIVE_FIELDS, Core, Limits
from heron_otel.receivers.pcap.config import LimitsConfig, PcapConfig

_NS = 1_000_000_000


def native_limits(config: LimitsConfig) -> Limits:
    """Return the limits of a core."""
    return Limits(
        max_flows=config.max_flows,
        max_reorder_bytes=config.max_reorder_bytes,
        max_buffered_bytes=config.max_buffered_bytes,
        gap_timeout_ns=round(config.gap_timeout * _NS),
        flow_idle_ns=round(config.flow_idle * _NS),
        exchange_idle_ns=round(config.exchange_idle * _NS),
        announce_after_ns=round(config.announce_after * _NS),
        max_head_bytes=config.max_head_bytes,
        max_fields=config.max_fields,
        max_pipeline=config.max_pipeline,
        max_body_bytes=config.max_body_bytes,
        max_event_bytes=config.max_event_bytes,
        max_coding_ratio=config.max_coding_ratio,
        max_codings=config.max_codings,
    )


def new_core(config: PcapConfig, shard: int, shards: int) -> Core:
    """Return the core of one shard."""
    fields = (*SENSITIVE_FIELDS, *(name.lower() for name in config.sensitive_fields))
    return Core(native_limits(config.limits), sensitive_fields=fields, shard=shard, shards=shards)
