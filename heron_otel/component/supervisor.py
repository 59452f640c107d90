# SPDX-License-Identifier: Apache-2.0
"""Worker threads whose exceptions are isolated, counted and visible."""

from __future__ import annotations

import threading
from collections.abc import Callable

from heron_otel.component.health import Health, Status
from heron_otel.errors import HeronError
from heron_otel.log import get_logger

log = get_logger(__name__)


class Worker:
    """One supervised thread: ``run(stop)`` until it returns or raises.

    An exception never leaves the thread. It is logged, counted in the health of ``component``,
    and the worker is started again after a pause that doubles from ``first_pause_s`` to
    ``max_pause_s``. After ``max_restarts`` failures in a row the component stays in
    ``StatusPermanentError``; a run longer than ``max_pause_s`` ends a row. A HeronError is an
    expected end (a capture that cannot be read): it is not restarted.
    """

    def __init__(
        self,
        component: str,
        run: Callable[[threading.Event], None],
        health: Health,
        *,
        clock_s: Callable[[], float],
        max_restarts: int = 5,
        first_pause_s: float = 0.1,
        max_pause_s: float = 30.0,
    ) -> None:
        self._component = component
        self._run = run
        self._health = health
        self._clock_s = clock_s
        self._max_restarts = max_restarts
        self._first_pause_s = first_pause_s
        self._max_pause_s = max_pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name=component, daemon=True)
        self.error: Exception | None = None  # why it ended, when it did not end by itself

    def start(self) -> None:
        """Start the thread."""
        self._health.report(self._component, Status.OK)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Ask the worker to end and wait for it; return whether it ended in time."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the worker to end by itself; return whether it did."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def _supervise(self) -> None:
        failures = 0
        while True:
            began = self._clock_s()
            try:
                self._run(self._stop)
            except HeronError as error:
                self.error = error
                self._health.fail(self._component, str(error), Status.PERMANENT_ERROR)
                log.error("component ended", component=self._component, error=str(error))
                return
            except Exception as error:
                if self._clock_s() - began > self._max_pause_s:
                    failures = 0
                failures += 1
                if not self._after_failure(error, failures):
                    return
            else:
                self._health.report(self._component, Status.STOPPED)
                return

    def _after_failure(self, error: Exception, failures: int) -> bool:
        """Return whether the worker shall run again."""
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        restart = failures <= self._max_restarts and not self._stop.is_set()
        status = Status.RECOVERABLE_ERROR if restart else Status.PERMANENT_ERROR
        self._health.fail(self._component, what, status)
        log.exception("worker failed", component=self._component, failures=failures)
        if not restart:
            self.error = error
            return False
        pause = min(self._first_pause_s * 2 ** min(failures - 1, 30), self._max_pause_s)
        if self._stop.wait(pause):
            self.error = error
            return False
        self._health.report(self._component, Status.OK)
        return True


def isolated(
    name: str, run: Callable[[], None], on_error: Callable[[Exception], None]
) -> threading.Thread:
    """Return a thread, not started, whose exception goes to ``on_error`` and no further.

    For receivers, which know themselves when their input is over. An exception that is no
    HeronError is logged with its traceback.
    """

    def guarded() -> None:
        try:
            run()
        except HeronError as error:
            on_error(error)
        except Exception as error:
            log.exception("worker failed", component=name)
            on_error(error)

    return threading.Thread(target=guarded, name=name, daemon=True)
