# SPDX-License-Identifier: Apache-2.0
"""The store process: owns one data directory, runs the engine, answers on loopback.

Runs as ``heron-otel store`` or ``python -m heron_otel.store.process``; ``launch.py`` starts the
second form when the agent or the command line needs a store.
"""

from __future__ import annotations

import argparse
import faulthandler
import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from heron_otel.errors import HeronError, UsageError
from heron_otel.log import get_logger
from heron_otel.store.data_dir import DataDir, DataDirInUseError, EndpointRecord
from heron_otel.store.engine import Engine, engine_version
from heron_otel.store.exchange import Exchange
from heron_otel.store.server import StoreServer
from heron_otel.store.space import FreeSpace

_log = get_logger(__name__)

IN_USE_STATUS = 75  # EX_TEMPFAIL: another process owns the directory
_FAILED_STATUS = 1
_USAGE_STATUS = 2
_DRAIN_S = 30.0
_END_S = _DRAIN_S + 15.0  # after the drain an end takes well under a second
_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """How one store process runs."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    idle_exit_s: float | None = None  # end after so long without a request; None: never


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``. Raises UsageError unless the host is loopback."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen must be HOST:PORT, got {text!r}")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"--listen {text}: the store answers without encryption, so only on loopback "
            "(127.0.0.1 or ::1); put a TLS proxy in front to reach it from elsewhere"
        )
    return ("127.0.0.1" if host == "localhost" else host), int(port)


def run_store(settings: StoreSettings) -> None:
    """Own the data directory and answer until SIGTERM, SIGINT or the idle limit.

    Raises HeronError when it cannot start: the directory is in use, cannot be written, was
    written by a newer engine, chDB is absent, the address is taken.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    os.umask(0o077)  # the engine's files hold what was captured
    directory = DataDir(settings.data_dir)
    directory.create()
    directory.lock()
    try:
        engine = _open_engine(directory)
        try:
            _serve(settings, directory, engine, stopped)
        finally:
            engine.close()
    finally:
        directory.unlock()
        faulthandler.cancel_dump_traceback_later()


def _open_engine(directory: DataDir) -> Engine:
    # The version is known before the data is opened: a downgrade must not touch it.
    directory.check_engine(engine_version())
    return Engine(directory.engine_path)


def _serve(
    settings: StoreSettings, directory: DataDir, engine: Engine, stopped: threading.Event
) -> None:
    tokens = directory.tokens()
    server = StoreServer(
        (settings.host, settings.port),
        Exchange,
        engine=engine,
        tokens=tokens,
        free_space=FreeSpace(directory.path),
    )
    thread = threading.Thread(target=server.serve_forever, name="accept", daemon=True)
    thread.start()
    try:
        directory.write_endpoint(
            EndpointRecord(
                host=settings.host,
                port=server.server_port,
                token=tokens.owner,
                read_token=tokens.reader,
                pid=os.getpid(),
            )
        )
        _log.info(
            "store answers",
            host=settings.host,
            port=server.server_port,
            data_dir=str(directory.path),
            engine=engine.version,
        )
        while not stopped.wait(_POLL_S):
            if directory.is_lost():
                _log.warning("store ends: its data directory was removed")
                break
            if settings.idle_exit_s is not None and server.idle_s() > settings.idle_exit_s:
                _log.info("store ends: nobody asked", idle_s=settings.idle_exit_s)
                break
    finally:
        # A store that waits for itself ends all the same, and its log says where it waited: what
        # it acknowledged is on disk. This clock needs no thread of the interpreter.
        faulthandler.dump_traceback_later(_END_S, exit=True)
        if not directory.is_lost():
            directory.remove_endpoint()
        server.shutdown()
        if not server.drain(_DRAIN_S):
            _log.warning("store ends with requests running", waited_s=_DRAIN_S)
        server.server_close()
        thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the store for ``launch.py``; errors go to standard error, one line."""
    import logging

    from heron_otel.log import FieldFormatter

    parser = argparse.ArgumentParser(prog="heron-otel store", allow_abbrev=False)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--idle-exit-s", type=float, default=None)
    options = parser.parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(FieldFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        host, port = parse_listen(options.listen)
        run_store(
            StoreSettings(
                data_dir=options.data_dir, host=host, port=port, idle_exit_s=options.idle_exit_s
            )
        )
    except DataDirInUseError as error:
        print(f"heron-otel: {error}", file=sys.stderr)
        return IN_USE_STATUS
    except UsageError as error:
        print(f"heron-otel: {error}", file=sys.stderr)
        return _USAGE_STATUS
    except HeronError as error:
        print(f"heron-otel: {error}", file=sys.stderr)
        return _FAILED_STATUS
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
