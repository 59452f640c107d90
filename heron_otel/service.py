# SPDX-License-Identifier: Apache-2.0
"""Builds pipelines from a configuration and runs them: start, drain, stop."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from heron_otel.component.health import ComponentHealth, Health, Status
from heron_otel.component.receiver import Receiver
from heron_otel.component.registry import Registry
from heron_otel.component.supervisor import Worker
from heron_otel.config.model import Config, PipelineConfig, component_type
from heron_otel.errors import HeronError
from heron_otel.exporters.sending import DropReason, Sender, Undelivered, open_sender
from heron_otel.log import get_logger
from heron_otel.pipeline.counters import Series, flat, series_of
from heron_otel.pipeline.hub import Hub, Route
from heron_otel.pipeline.processors import stage_settings
from heron_otel.records.telemetry import Items, TelemetryBatch

log = get_logger(__name__)

# systemd kills 90 s after SIGTERM, Kubernetes 30 s: what takes longer is given up before.
DRAIN_TIMEOUT_S = 20.0
ANALYSIS = "pipeline/analysis"


@dataclass(frozen=True, slots=True)
class Leftover:
    """What one exporter could not deliver before the end."""

    exporter: str
    undelivered: Undelivered


class Service:
    """The components of one configuration, from receivers to exporters.

    ``block`` makes the pipeline wait for exporters whose queue is full: right for files, wrong
    for live traffic. ``on_unreadable(source, error)`` is told what cannot be read, instead of the
    log. Nothing runs before ``start``.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        health: Health,
        *,
        block: bool | None = None,
        on_unreadable: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self._config = config
        self._health = health
        self._on_unreadable = on_unreadable or _log_unreadable
        pipelines = config.service.pipelines.values()
        self._senders: dict[str, Sender] = {}
        for name in _used(pipelines, "exporters"):
            settings = config.exporters[name]
            exporter = registry.exporter(component_type(name)).create(name, settings)
            self._senders[name] = open_sender(name, exporter, settings, block=block)
        self._receivers: dict[str, Receiver] = {}
        for name in _used(pipelines, "receivers"):
            settings = config.receivers[name]
            self._receivers[name] = registry.receiver(component_type(name)).create(name, settings)
        self._extensions = {
            name: registry.extension(component_type(name)).create(name, config.extensions[name])
            for name in config.service.extensions
        }
        routes = [self._route(*pipeline) for pipeline in config.service.pipelines.items()]
        self._hub = Hub(routes, on_failure=self._stage_failed, on_unreadable=self._unreadable)
        # The batch that made the analysis fail is gone; the next one deserves its chance.
        self._worker = Worker(
            ANALYSIS,
            self._hub.run,
            health,
            clock_s=time.monotonic,
            max_restarts=sys.maxsize,
            max_pause_s=1.0,
        )
        self._metrics: _Metrics | None = None

    @property
    def config(self) -> Config:
        """Return the configuration this service was built from."""
        return self._config

    def start(self) -> None:
        """Start extensions, exporters, analysis, receivers, in this order.

        Raises HeronError with what to do about it; what was started before is stopped again.
        """
        started: list[Callable[[], object]] = []
        try:
            for extension in self._extensions.values():
                extension.start(self.health)
                started.append(extension.stop)
            for name, sender in self._senders.items():
                self._health.report(f"exporters/{name}", Status.STARTING)
                sender.start()
                started.append(sender.shutdown)
                self._health.report(f"exporters/{name}", Status.OK)
            self._worker.start()
            started.append(self._abandon)
            for name, receiver in self._receivers.items():
                self._health.report(f"receivers/{name}", Status.OK)
                receiver.start(self._hub)
                started.append(receiver.stop)
            if self._config.service.telemetry.metrics.readers:
                self._metrics = _Metrics(self)
        except BaseException:
            for stop in reversed(started):
                stop()
            raise

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every source has ended; return whether that is so."""
        return self._worker.join(timeout_s)

    def stop(self, drain_timeout_s: float = DRAIN_TIMEOUT_S) -> list[Leftover]:
        """Stop capturing, analyse and deliver what was captured, stop the rest.

        Returns what could not be delivered in ``drain_timeout_s``, for each exporter. Never raises.
        """
        deadline = time.monotonic() + drain_timeout_s
        # Receivers wait for the analysis, which may wait for an exporter; not for ever.
        give_up = threading.Timer(drain_timeout_s, self._hub.discard)
        give_up.daemon = True
        give_up.start()
        for name, receiver in self._receivers.items():
            self._health.report(f"receivers/{name}", Status.STOPPING)
            receiver.stop()
        give_up.cancel()
        if not self._worker.stop(max(0.0, deadline - time.monotonic())):
            log.error("analysis did not end in time")
        else:
            self._hub.close()
        leftovers: list[Leftover] = []
        for name, sender in self._senders.items():
            left = sender.drain(max(0.0, deadline - time.monotonic()))
            if left:
                leftovers.append(Leftover(name, left))
        if self._metrics is not None:
            self._metrics.shutdown()
        for sender in self._senders.values():
            sender.shutdown()
        for extension in self._extensions.values():
            extension.stop()
        for component in (
            *(f"receivers/{name}" for name in self._receivers),
            *(f"exporters/{name}" for name in self._senders),
            ANALYSIS,
        ):
            self._health.forget(component)
        return leftovers

    def progress(self, source: str) -> tuple[int, int | None]:
        """Return how many bytes a receiver has read, and of how many; None: not known."""
        return self._receivers[source].progress()

    def flush(self) -> None:
        """Deliver what waits without waiting for more; after ``wait`` said that nothing comes."""
        for sender in self._senders.values():
            sender.flush()

    def deliveries(self) -> tuple[int, int]:
        """Return how many batches wait for delivery, and how many items were taken care of."""
        waiting = done = 0
        for sender in self._senders.values():
            for name, value in flat(sender.counters()).items():
                if name == "queue_batches":
                    waiting += value
                elif (
                    name.partition(".")[0].removeprefix("sent_").removeprefix("dropped_")
                    in Items._fields
                ):
                    done += value
        return waiting, done

    def lost(self) -> dict[str, Items]:
        """Return how much each exporter refused or gave up; nothing: it is left out.

        What ``stop`` returns as left over is not among them.
        """
        found: dict[str, Items] = {}
        for name, sender in self._senders.items():
            counts = dict.fromkeys(Items._fields, 0)
            for key, value in flat(sender.counters()).items():
                noun, _, reason = key.removeprefix("dropped_").partition(".")
                if key.startswith("dropped_") and noun in counts and reason != DropReason.CLOSED:
                    counts[noun] += value
            if any(counts.values()):
                found[name] = Items(**counts)
        return found

    def failures(self) -> int:
        """Return how many records and batches the analysis failed on; what they held is lost."""
        stages = sum(v for k, v in self._hub.counters().items() if k.endswith(".failures"))
        worker = self._health.snapshot().get(ANALYSIS)
        return stages + (worker.failures if worker is not None else 0)

    @property
    def span_times(self) -> tuple[int, int] | None:
        """Return the earliest and the latest start of all spans so far; None: no spans."""
        return self._hub.span_times

    def health(self) -> Mapping[str, ComponentHealth]:
        """Return the status of every component; an exporter that cannot deliver is not healthy."""
        for name, sender in self._senders.items():
            component = f"exporters/{name}"
            known = self._health.snapshot().get(component)
            error = sender.error
            if error is None:
                self._health.report(component, Status.OK)
            elif known is None or known.error != error or known.status is Status.OK:
                self._health.fail(component, error)
        return self._health.snapshot()

    def counters(self) -> dict[Series, int]:
        """Return every self-metric as a series."""
        found: dict[Series, int] = {}
        for name, receiver in self._receivers.items():
            found.update(series_of(receiver.counters(), "receiver", receiver=name))
        for full, value in self._hub.counters().items():
            stage, _, noun = full.partition(".")
            found.update(series_of({noun: value}, stage))
        for name, sender in self._senders.items():
            found.update(series_of(flat(sender.counters()), "exporter", exporter=name))
        for component, health in self._health.snapshot().items():
            found.update(series_of({"failures": health.failures}, "health", component=component))
        return found

    def _route(self, name: str, pipeline: PipelineConfig) -> Route:
        try:
            settings = stage_settings(
                (each, self._config.processors[each]) for each in pipeline.processors
            )
        except HeronError as error:
            raise HeronError(f"service.pipelines.{name}: {error}") from error
        senders = [self._senders[exporter] for exporter in pipeline.exporters]

        def deliver(batch: TelemetryBatch) -> None:
            for sender in senders:
                sender.put(batch)

        return Route(
            name=name,
            sources=frozenset(pipeline.receivers),
            spans=settings.spans,
            turns=settings.turns,
            profiles=settings.profiles,
            book=settings.book,
            count_tokens=settings.count_tokens,
            signal=name.partition("/")[0],
            metrics=settings.metrics,
            deliver=deliver,
        )

    def _abandon(self) -> None:
        self._hub.discard()
        self._worker.stop()

    def _stage_failed(self, stage: str, error: Exception) -> None:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        self._health.fail(f"stages/{stage}", what)

    def _unreadable(self, source: str, error: Exception) -> None:
        self._on_unreadable(source, error)
        self._health.fail(f"receivers/{source}", str(error), Status.PERMANENT_ERROR)


def _log_unreadable(source: str, error: Exception) -> None:
    log.error("input cannot be read", receiver=source, error=str(error))


class _Metrics:
    """The agent's own metrics; opentelemetry-sdk is imported only when they are configured."""

    def __init__(self, service: Service) -> None:
        from heron_otel.self_metrics import SelfMetrics

        self._metrics = SelfMetrics(service.config.service.telemetry, service.counters)

    def shutdown(self) -> None:
        self._metrics.shutdown()


def _used(pipelines: Iterable[PipelineConfig], kind: str) -> list[str]:
    """Return the ids that pipelines name, each once, in order."""
    names: dict[str, None] = {}
    for pipeline in pipelines:
        names.update(dict.fromkeys(getattr(pipeline, kind)))
    return list(names)
