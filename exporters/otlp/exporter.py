# SPDX-License-Identifier: Apache-2.0
"""The ``otlp`` exporter: spans as OTLP requests over gRPC or HTTP."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping

from heron_otel.errors import PermanentExportError, RetryableExportError
from heron_otel.exporters.otlp.client import Client, Outcome, Verdict
from heron_otel.exporters.otlp.config import OtlpConfig, OtlpProtocol, Target
from heron_otel.exporters.otlp.encode import ExportRequest, encode_requests
from heron_otel.exporters.otlp.grpc_client import GrpcClient
from heron_otel.exporters.otlp.http_client import HttpClient
from heron_otel.log import get_logger
from heron_otel.records.telemetry import TelemetryBatch

log = get_logger(__name__)

_REPEAT_LOG_S = 60.0


class OtlpExporter:
    """Delivers spans; HTTP rows and open turns are for the store.

    A batch becomes one or more requests, serialised once. When a delivery fails in the middle,
    the next call with the same batch goes on with the requests that are left.
    """

    def __init__(self, component: str, config: OtlpConfig) -> None:
        self._component = component
        self._config = config
        target = Target.of(config)
        self._client: Client = (
            GrpcClient(config, target)
            if target.protocol is OtlpProtocol.GRPC
            else HttpClient(config, target)
        )
        self._batch: TelemetryBatch | None = None  # whose requests are pending
        self._pending: deque[ExportRequest] = deque()
        self._refused_spans = 0  # of that batch
        self._refusal = ""
        self._counts: Counter[str] = Counter()
        self._logged_s = 0.0

    def start(self) -> None:
        """Open what delivery needs; the server may be away. Raises HeronError."""
        self._client.start()

    def export(self, batch: TelemetryBatch) -> None:
        """Deliver the spans of ``batch``.

        Raises RetryableExportError, or PermanentExportError with the number of spans that
        were refused; the others are delivered by then.
        """
        if self._batch is not batch:
            self._batch = batch
            self._refused_spans = 0
            self._pending = deque(
                encode_requests(batch.spans, self._config.max_request_size, self._shrunk)
            )
        while self._pending:
            self._send(self._pending[0])
        self._batch = None
        if self._refused_spans:
            raise PermanentExportError(self._refusal, lost_spans=self._refused_spans)

    def shutdown(self) -> None:
        """Close the connection. Never raises."""
        self._client.shutdown()

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""
        return dict(self._counts)

    def _send(self, request: ExportRequest) -> None:
        payload = request.payload()
        outcome = self._client.send(payload)
        self._counts["requests"] += 1
        match outcome.verdict:
            case Verdict.TAKEN:
                self._pending.popleft()
                self._counts["request_bytes"] += len(payload)
                self._note(outcome)
            case Verdict.RETRY:
                raise RetryableExportError(self._failure(outcome), outcome.retry_after_s)
            case Verdict.TOO_LARGE if request.spans > 1:
                self._pending.popleft()
                self._pending.extendleft(reversed(request.split()))
                self._counts["splits"] += 1
            case Verdict.TOO_LARGE | Verdict.REFUSED:
                self._pending.popleft()
                self._refused_spans += request.spans
                self._refusal = f"{self._config.endpoint} refused the spans: {outcome.reason}"

    def _failure(self, outcome: Outcome) -> str:
        endpoint = self._config.endpoint
        if outcome.retry_after_s is not None:
            return f"{endpoint} asks to wait: {outcome.reason}"
        if outcome.reached:
            return f"{endpoint} cannot take spans now: {outcome.reason}"
        return f"cannot reach {endpoint}: {outcome.reason}"

    def _note(self, outcome: Outcome) -> None:
        """Count and log a partial success or a warning of the server."""
        if not outcome.rejected_spans and not outcome.reason:
            return
        self._counts["rejected_spans"] += outcome.rejected_spans
        self._counts["warnings"] += 1
        now = time.monotonic()
        if self._counts["warnings"] == 1 or now - self._logged_s >= _REPEAT_LOG_S:
            self._logged_s = now
            log.warning(
                "server took the request with a remark",
                exporter=self._component,
                rejected_spans=outcome.rejected_spans,
                remark=outcome.reason,
            )

    def _shrunk(self, spans: int) -> None:
        self._counts["truncated_spans"] += spans
