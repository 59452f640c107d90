# SPDX-License-Identifier: Apache-2.0
"""Ports that no other program takes while a test uses them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """Hold a port of 127.0.0.1 that nothing listens on: connections are refused.

    The kernel gives it to nobody who asks for any free port. A server that is told its number can
    still listen there, as long as it sets SO_REUSEADDR, as servers do.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
