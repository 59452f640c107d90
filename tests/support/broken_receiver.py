# SPDX-License-Identifier: Apache-2.0
"""A receiver that feeds what no receiver may, then a good exchange."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from heron_otel.component.factory import ReceiverFactory, Stability
from heron_otel.component.receiver import ExchangeSink
from heron_otel.records.http import HttpRecord
from tests.support.exchanges import START_NS, make_exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenConfig:
    """No settings."""


class BrokenReceiver:
    """Ends by itself after two hand-overs."""

    def __init__(self, component: str, config: BrokenConfig) -> None:
        self._component = component
        self._thread: threading.Thread | None = None

    def start(self, sink: ExchangeSink) -> None:
        def run() -> None:
            sink.feed(self._component, [cast(HttpRecord, object())], START_NS)
            good = make_exchange(
                {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
                {"id": "x", "object": "chat.completion", "model": "m", "choices": []},
            )
            sink.feed(self._component, [good], START_NS)
            sink.finish(self._component)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def counters(self) -> Mapping[str, int]:
        return {}

    def progress(self) -> tuple[int, int | None]:
        return 0, None


FACTORY = ReceiverFactory(
    type="broken", config=BrokenConfig, create=BrokenReceiver, stability=Stability.DEVELOPMENT
)
