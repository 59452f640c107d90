# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import http.client
import itertools
import json
import socket
from collections.abc import Iterator

import pytest

from heron_otel.component.health import Health, Status
from heron_otel.config.types import Secret
from heron_otel.errors import HeronError
from heron_otel.extensions.health_check.config import HealthCheckConfig
from heron_otel.extensions.health_check.extension import HealthCheck


@pytest.fixture
def health() -> Health:
    made = Health(itertools.count(1_700_000_000_000_000_000).__next__)
    made.report("receivers/pcap", Status.OK)
    return made


@pytest.fixture
def running(health: Health) -> Iterator[HealthCheck]:
    config = HealthCheckConfig(endpoint="127.0.0.1:0", token=Secret("t0ken"))
    made = HealthCheck("health_check", config)
    made.start(health.snapshot)
    yield made
    made.stop()


def ask(port: int, path: str = "/", token: str = "") -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    fields = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("GET", path, headers=fields)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


def test_healthy_agent_answers_200(running: HealthCheck) -> None:
    assert ask(running.port) == (200, {"healthy": True, "status": "StatusOK"})


@pytest.mark.case(136)
def test_failed_component_answers_503_and_is_named_with_the_token(
    running: HealthCheck, health: Health
) -> None:
    health.fail("pipeline/analysis", "ValueError: x", Status.PERMANENT_ERROR)
    status, body = ask(running.port)
    assert (status, body) == (503, {"healthy": False, "status": "StatusPermanentError"})
    _, detail = ask(running.port, token="t0ken")
    components = detail["components"]
    assert isinstance(components, dict)
    assert components["pipeline/analysis"] == {
        "healthy": False,
        "status": "StatusPermanentError",
        "status_time": "2023-11-14T22:13:20+00:00",
        "failures": 1,
        "error": "ValueError: x",
    }
    assert components["receivers/pcap"]["healthy"] is True


@pytest.mark.parametrize("token", ["", "wrong", "t0ken "])
def test_components_are_not_shown_without_the_token(running: HealthCheck, token: str) -> None:
    _, body = ask(running.port, token=token)
    assert "components" not in body


def test_other_path_is_404(running: HealthCheck) -> None:
    assert ask(running.port, "/other")[0] == 404


def test_client_that_says_nothing_does_not_keep_others_out(running: HealthCheck) -> None:
    with socket.create_connection(("127.0.0.1", running.port)):
        assert ask(running.port)[0] == 200


def test_taken_address_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        made = HealthCheck("health_check", HealthCheckConfig(endpoint=endpoint))
        with pytest.raises(HeronError, match=f"cannot listen on {endpoint}"):
            made.start(dict)


@pytest.mark.parametrize("endpoint", ["", "localhost", ":13133", "localhost:x", "localhost:70000"])
def test_endpoint_that_is_no_address_is_a_problem(endpoint: str) -> None:
    problems = HealthCheckConfig(endpoint=endpoint).problems()
    assert [problem.path for problem in problems] == ["endpoint"]
