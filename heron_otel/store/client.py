# SPDX-License-Identifier: Apache-2.0
"""Connections to a store, embedded or a ClickHouse server, through ``clickhouse-connect``."""

from __future__ import annotations

import logging
import re

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3.exceptions import HTTPError

from heron_otel.errors import StoreError
from heron_otel.store.launch import StoreEndpoint

# What any use of a client raises when the store cannot be reached or says no.
CLIENT_ERRORS = (ClickHouseError, HTTPError, OSError)

# Their own reports about failures repeat what the exception says.
for _name in ("clickhouse_connect", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_URL = re.compile(r" \(for url [^()]*\)")


def connect(
    endpoint: StoreEndpoint, *, database: str = "default", timeout_s: float = 300.0
) -> Client:
    """Return a client of an embedded store. Raises StoreError. For one thread at a time."""
    return connect_server(
        host=endpoint.host,
        port=endpoint.port,
        secure=False,
        username="heron",
        password=endpoint.token,
        database=database,
        timeout_s=timeout_s,
    )


def connect_server(
    *,
    host: str,
    port: int,
    secure: bool,
    username: str,
    password: str,
    database: str,
    timeout_s: float,
) -> Client:
    """Return a client of a ClickHouse server. Raises StoreError with what the server said."""
    try:
        return clickhouse_connect.get_client(
            host=host,
            port=port,
            secure=secure,
            username=username,
            password=password,
            database=database,
            connect_timeout=max(1, int(timeout_s)),
            send_receive_timeout=max(1, int(timeout_s)),
            autogenerate_session_id=False,
            show_clickhouse_errors=True,
            client_name="heron-otel",
            # A pool of its own: no proxy from the environment, and close() ends its connections.
            pool_mgr=get_pool_manager(maxsize=4, num_pools=1),
        )
    except CLIENT_ERRORS as error:
        raise StoreError(f"cannot use the store at {host}:{port}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return what a person needs of an error, one line of at most 500 characters.

    Equal failures have equal texts: without ids of requests.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__
    text = str(error).strip()
    if not text:
        return type(error).__name__
    line = text.splitlines()[0]
    _, _, said = line.partition("DB::Exception: ")
    return _URL.sub("", said or line)[:500]
