# SPDX-License-Identifier: Apache-2.0
"""``heron-otel run``: the agent."""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import time
from typing import TYPE_CHECKING

from heron_otel import __version__
from heron_otel.cli.config_options import add_config_options, load_config
from heron_otel.component.health import Health, Status
from heron_otel.component.registry import Registry
from heron_otel.config.model import Config
from heron_otel.errors import ConfigError, HeronError
from heron_otel.log import get_logger
from heron_otel.log_output import configure
from heron_otel.pipeline.garbage import tune_garbage_collector
from heron_otel.service import Leftover, Service

if TYPE_CHECKING:
    from types import FrameType

    from heron_otel.cli.subparsers import Subparsers

log = get_logger(__name__)

HEALTH_INTERVAL_S = 5.0


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        help="run the agent",
        description="Run the pipelines of a configuration until SIGTERM or SIGINT, which finish "
        "and deliver what was captured. SIGHUP reads the configuration again: a good one replaces "
        "the running one, a bad one changes nothing.",
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    registry = Registry()
    config = load_config(options, registry)
    logs = config.service.telemetry.logs
    configure(logs.level, logs.encoding, sys.stderr)
    agent = Agent(options, registry)
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def remember(number: int, frame: FrameType | None) -> None:
        signals.put(number)

    for known in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(known, remember)
    agent.start(config)
    tune_garbage_collector()
    while True:
        try:
            number = signals.get(timeout=HEALTH_INTERVAL_S)
        except queue.Empty:
            agent.watch()
            continue
        if number == signal.SIGHUP:
            agent.reload()
        else:
            return agent.stop()


class Agent:
    """The running service and what replaces it on reload."""

    def __init__(self, options: argparse.Namespace, registry: Registry) -> None:
        self._options = options
        self._registry = registry
        self._health = Health(time.time_ns)
        self._service: Service | None = None
        self._unhealthy: frozenset[str] = frozenset()

    def start(self, config: Config) -> None:
        """Start the pipelines. Raises HeronError."""
        service = Service(config, self._registry, self._health)
        service.start()
        self._service = service
        log.info("agent started", version=__version__, pipelines=len(config.service.pipelines))

    def reload(self) -> None:
        """Check the configuration again and swap to it; keep the running one when it is bad."""
        old = self._service
        assert old is not None
        try:
            config = load_config(self._options, self._registry)
            if config == old.config:
                log.info("configuration unchanged")
                return
            Service(config, self._registry, self._health)  # everything but start must work
        except ConfigError as error:
            for problem in error.problems:
                log.error("configuration not reloaded", problem=problem)
            self._health.fail("agent/reload", error.problems[0])
            return
        except HeronError as error:
            log.error("configuration not reloaded", problem=str(error))
            self._health.fail("agent/reload", str(error))
            return
        _log_leftovers(old.stop())
        try:
            self.start(config)
        except HeronError as error:
            log.error("new configuration does not start, going back", problem=str(error))
            self._health.fail("agent/reload", str(error))
            self.start(old.config)
            return
        logs = config.service.telemetry.logs
        configure(logs.level, logs.encoding, sys.stderr)
        self._health.report("agent/reload", Status.OK)
        log.info("configuration reloaded")

    def watch(self) -> None:
        """Log components that stop or begin to work."""
        assert self._service is not None
        states = self._service.health()
        unhealthy = frozenset(name for name, state in states.items() if not state.is_healthy)
        for name in sorted(unhealthy - self._unhealthy):
            log.warning("component not healthy", component=name, error=states[name].error)
        for name in sorted(self._unhealthy - unhealthy):
            log.info("component healthy again", component=name)
        self._unhealthy = unhealthy

    def stop(self) -> int:
        """Drain and stop; return the exit status: 1 when spans could not be delivered."""
        assert self._service is not None
        log.info("agent stops")
        leftovers = self._service.stop()
        _log_leftovers(leftovers)
        return 1 if leftovers else 0


def _log_leftovers(leftovers: list[Leftover]) -> None:
    for leftover in leftovers:
        left = leftover.undelivered
        log.error(
            "telemetry not delivered",
            exporter=leftover.exporter,
            items=str(left.items),
            batches=left.batches,
            error=left.error,
        )
