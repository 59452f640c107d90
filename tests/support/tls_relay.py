# SPDX-License-Identifier: Apache-2.0
"""A TLS end in front of a plain server, for clients that speak nothing but TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from tests.support.certificates import make_certificate


@dataclass(frozen=True)
class TlsRelay:
    """Where clients connect to, and what they trust."""

    url: str
    trust: ssl.SSLContext


@asynccontextmanager
async def tls_relay(url: str) -> AsyncIterator[TlsRelay]:
    """Relay connections over TLS to the server at ``url``, byte for byte."""
    target = urlsplit(url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(_pass_on(reader, plain[1]), _pass_on(plain[0], writer))

    with TemporaryDirectory() as folder:
        made = make_certificate(Path(folder), "localhost")
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(made.certificate, made.key)
        trust = ssl.create_default_context(cafile=made.certificate)
    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=own)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield TlsRelay(f"https://127.0.0.1:{port}", trust)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the other side left
    finally:
        writer.close()
