# SPDX-License-Identifier: Apache-2.0
"""Endpoints and what follows from them."""

from __future__ import annotations

import pytest

from heron_otel.config.types import Secret
from heron_otel.exporters.otlp.config import OtlpConfig, OtlpProtocol, Target, TlsConfig

GRPC, HTTP = OtlpProtocol.GRPC, OtlpProtocol.HTTP


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://localhost:4317", (GRPC, False, "localhost:4317", "/v1")),
        ("https://otel.example", (GRPC, True, "otel.example:4317", "/v1")),
        ("otel.example:4317", (GRPC, True, "otel.example:4317", "/v1")),
        ("http://localhost:4318", (HTTP, False, "localhost:4318", "/v1")),
        ("http://localhost:4318/", (HTTP, False, "localhost:4318", "/v1")),
        ("https://x.example/api/otel", (HTTP, True, "x.example:443", "/api/otel/v1")),
        ("http://x.example/a/v1/traces", (HTTP, False, "x.example:80", "/a/v1")),
        ("grpc://localhost:4318", (GRPC, False, "localhost:4318", "/v1")),
        ("grpcs://localhost", (GRPC, True, "localhost:4317", "/v1")),
        ("http://[::1]:4317", (GRPC, False, "[::1]:4317", "/v1")),
    ],
)
def test_endpoint_says_protocol_security_and_path(
    endpoint: str, expected: tuple[OtlpProtocol, bool, str, str]
) -> None:
    config = OtlpConfig(endpoint=endpoint)
    assert list(config.problems()) == []
    target = Target.of(config)
    assert (target.protocol, target.secure, target.authority, target.path) == expected


def test_protocol_setting_wins_over_the_port() -> None:
    assert Target.of(OtlpConfig(endpoint="http://x:4318", protocol=GRPC)).protocol is GRPC
    assert Target.of(OtlpConfig(endpoint="http://x:4317", protocol=HTTP)).protocol is HTTP


def test_endpoint_without_scheme_can_be_insecure() -> None:
    config = OtlpConfig(endpoint="x:4317", tls=TlsConfig(insecure=True))
    assert not Target.of(config).secure


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        (OtlpConfig(endpoint=""), "endpoint", "must not be empty"),
        (OtlpConfig(endpoint="ftp://x"), "endpoint", "must begin with"),
        (OtlpConfig(endpoint="http://x:99999"), "endpoint", "is not a URL"),
        (OtlpConfig(endpoint="http://x:0"), "endpoint", "has port 0"),
        (OtlpConfig(endpoint="http://"), "endpoint", "has no host"),
        (OtlpConfig(endpoint="http://u:p@x"), "endpoint", "must hold no user name"),
        (OtlpConfig(endpoint="http://x?a=1"), "endpoint", "must hold no query"),
        (OtlpConfig(endpoint="http://x", timeout=0), "timeout", "at least 100ms"),
        (OtlpConfig(endpoint="http://x", max_request_size=1), "max_request_size", "from 64KiB"),
        (
            OtlpConfig(endpoint="http://x", headers={"a b": Secret("v")}),
            "headers.a b",
            "is not a header field name",
        ),
        (
            OtlpConfig(endpoint="http://x", headers={"a": Secret("v\r\nb: c")}),
            "headers.a",
            "must be printable ASCII",
        ),
        (
            OtlpConfig(endpoint="https://x", tls=TlsConfig(insecure=True)),
            "tls.insecure",
            "contradicts",
        ),
        (
            OtlpConfig(endpoint="https://x", tls=TlsConfig(insecure_skip_verify=True)),
            "tls.insecure_skip_verify",
            "http/protobuf only",
        ),
    ],
)
def test_settings_that_cannot_work_are_problems(
    config: OtlpConfig, path: str, message: str
) -> None:
    (problem,) = config.problems()
    assert problem.path == path
    assert message in problem.message


def test_half_a_key_pair_is_a_problem() -> None:
    assert [p.path for p in TlsConfig(cert_file="x").problems()] == ["key_file"]
    assert [p.path for p in TlsConfig(key_file="x").problems()] == ["cert_file"]


def test_secrets_of_headers_do_not_print() -> None:
    assert "hush" not in repr(OtlpConfig(endpoint="http://x", headers={"k": Secret("hush")}))
