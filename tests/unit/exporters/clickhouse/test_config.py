# SPDX-License-Identifier: Apache-2.0
"""Settings that cannot work are named before anything starts."""

from __future__ import annotations

import pytest

from heron_otel.config.types import Secret
from heron_otel.exporters.clickhouse.config import ClickHouseConfig


def test_defaults_are_the_embedded_store() -> None:
    config = ClickHouseConfig()
    assert list(config.problems()) == []
    assert not config.endpoint
    assert config.sending_queue.batch.min_size == 16 * 1024 * 1024


@pytest.mark.parametrize(
    "endpoint", ["http://db:8123", "https://db", "http://[::1]:8123/", "http://10.0.0.1"]
)
def test_server_url_is_taken(endpoint: str) -> None:
    assert list(ClickHouseConfig(endpoint=endpoint, cluster="prod").problems()) == []


@pytest.mark.parametrize(
    ("settings", "path", "text"),
    [
        ({"endpoint": "tcp://db:9000"}, "endpoint", "use the HTTP port"),
        ({"endpoint": "db:8123"}, "endpoint", "must be http://host:port"),
        ({"endpoint": "http://"}, "endpoint", "must be http://host:port"),
        ({"endpoint": "http://db:99999"}, "endpoint", "is not a URL"),
        ({"endpoint": "http://u:p@db"}, "endpoint", "scheme, host and port only"),
        ({"endpoint": "http://db/path?x=1"}, "endpoint", "scheme, host and port only"),
        ({"cluster": "prod"}, "cluster", "needs an endpoint"),
        ({"endpoint": "http://db", "data_dir": "/x"}, "data_dir", "embedded store"),
        ({"database": "a`b"}, "database", "must be letters"),
        ({"endpoint": "http://db", "cluster": "a b"}, "cluster", "must be letters"),
        ({"ttl": 0.5}, "ttl", "at least 1s"),
        ({"timeout": 0.0}, "timeout", "at least 1s"),
    ],
)
def test_setting_that_cannot_work_is_a_problem(
    settings: dict[str, str | float], path: str, text: str
) -> None:
    (problem,) = ClickHouseConfig(**settings).problems()  # type: ignore[arg-type]  # a table
    assert problem.path == path
    assert text in problem.message


def test_password_does_not_print() -> None:
    config = ClickHouseConfig(endpoint="http://db", password=Secret("hunter2"))
    assert "hunter2" not in repr(config)
    assert config.password.reveal() == "hunter2"
