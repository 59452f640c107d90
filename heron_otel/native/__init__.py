# SPDX-License-Identifier: Apache-2.0
"""The C core: packet decoding, TCP reassembly, HTTP/1.x and SSE framing."""

from heron_otel.native.capture import (
    COUNTER_NAMES,
    SENSITIVE_FIELDS,
    CaptureReader,
    Core,
    Limits,
    LiveReader,
    LiveStatistics,
    Stream,
    StreamEnd,
)

__all__ = [
    "COUNTER_NAMES",
    "SENSITIVE_FIELDS",
    "CaptureReader",
    "Core",
    "Limits",
    "LiveReader",
    "LiveStatistics",
    "Stream",
    "StreamEnd",
]
