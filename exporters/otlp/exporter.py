# SPDX-License-Identifier: Apache-2.0
"""The ``otlp`` exporter: spans, metrics and logs as OTLP requests over gRPC or HTTP."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping

from heron_otel.errors import PermanentExportError, RetryableExportError
from heron_otel.exporters.otlp.client import Client, Outcome, Signal, Verdict
from heron_otel.exporters.otlp.config import OtlpConfig, OtlpProtocol, Target
from heron_otel.exporters.otlp.encode import ExportRequest, encode_requests
from heron_otel.exporters.otlp.encode_logs import encode_log_requests
from heron_otel.exporters.otlp.grpc_client import GrpcClient
from heron_otel.exporters.otlp.http_client import HttpClient
from heron_otel.log import get_logger
from heron_otel.records.telemetry import TelemetryBatch

log = get_logger(__name__)

_REPEAT_LOG_S = 60.0


class OtlpExporter:
    """Delivers all signals; HTTP rows and open turns are for the store.

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
        self._refused: Counter[str] = Counter()  # of that batch, by the names of Items
        self._refusal = ""
        self._counts: Counter[str] = Counter()
        self._logged_s = 0.0

    def start(self) -> None:
        """Open what delivery needs; the server may be away. Raises HeronError."""
        self._client.start()

    def export(self, batch: TelemetryBatch) -> None:
        """Deliver ``batch``.

        Raises RetryableExportError, or PermanentExportError with how much was refused; the rest
        is delivered by then.
        """
        if self._batch is not batch:
            self._batch = batch
            self._refused = Counter()
            self._pending = deque(self._requests(batch))
        while self._pending:
            self._send(self._pending[0])
        self._batch = None
        if self._refused:
            raise PermanentExportError(self._refusal, dict(self._refused))

    def shutdown(self) -> None:
        """Close the connection. Never raises."""
        self._client.shutdown()

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""
        return dict(self._counts)

    def _requests(self, batch: TelemetryBatch) -> Iterator[ExportRequest]:
        limit_bytes = self._config.max_request_size
        yield from encode_requests(batch.spans, limit_bytes, self._shrunk)
        if batch.metrics:
            # Imports opentelemetry-sdk, which takes as long as all the rest.
            from heron_otel.exporters.otlp.encode_metrics import encode_metric_requests

            yield from encode_metric_requests(batch.metrics, limit_bytes)
        yield from encode_log_requests(batch.logs, limit_bytes)

    def _send(self, request: ExportRequest) -> None:
        payload = request.payload()
        outcome = self._client.send(payload, request.signal)
        self._counts["requests"] += 1
        match outcome.verdict:
            case Verdict.TAKEN:
                self._pending.popleft()
                self._counts["request_bytes"] += len(payload)
                self._note(outcome, request.signal)
            case Verdict.RETRY:
                raise RetryableExportError(
                    self._failure(outcome, request.signal), outcome.retry_after_s
                )
            case Verdict.TOO_LARGE if request.elements > 1:
                self._pending.popleft()
                self._pending.extendleft(reversed(request.split()))
                self._counts["splits"] += 1
            case Verdict.TOO_LARGE | Verdict.REFUSED:
                self._pending.popleft()
                self._refused[request.signal.noun] += request.count
                what = request.signal.noun.replace("_", " ")
                self._refusal = f"{self._config.endpoint} refused the {what}: {outcome.reason}"

    def _failure(self, outcome: Outcome, signal: Signal) -> str:
        endpoint = self._config.endpoint
        if outcome.retry_after_s is not None:
            return f"{endpoint} asks to wait: {outcome.reason}"
        if outcome.reached:
            what = signal.noun.replace("_", " ")
            return f"{endpoint} cannot take {what} now: {outcome.reason}"
        return f"cannot reach {endpoint}: {outcome.reason}"

    def _note(self, outcome: Outcome, signal: Signal) -> None:
        """Count and log a partial success or a warning of the server."""
        if not outcome.rejected and not outcome.reason:
            return
        self._counts[f"rejected_{signal.noun}"] += outcome.rejected
        self._counts["warnings"] += 1
        now = time.monotonic()
        if self._counts["warnings"] == 1 or now - self._logged_s >= _REPEAT_LOG_S:
            self._logged_s = now
            log.warning(
                "server took the request with a remark",
                exporter=self._component,
                rejected=outcome.rejected,
                signal=signal.value,
                remark=outcome.reason,
            )

    def _shrunk(self, spans: int) -> None:
        self._counts["truncated_spans"] += spans
