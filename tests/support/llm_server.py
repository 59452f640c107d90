# SPDX-License-Identifier: Apache-2.0
"""A scripted LLM server over HTTP/1.1: OpenAI Chat Completions (also as Azure and Mistral send
them), Responses and completions, Anthropic Messages, Gemini, Amazon Bedrock, Cohere, Ollama.

A script maps each request to a reply (``llm_answers``). The server keeps a log of every exchange
with what it really sent, event by event: the ground truth that spans are compared with.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.support.llm_answers import Answer, Asked, Delivery, Json, Plain, Reply
from tests.support.llm_connection import SOCKET_TIMEOUT_S, ClientGoneError, Connection

Script = Callable[[Asked], Reply]


class LlmServer:
    """Serve ``script`` on ``address``; use as a context manager.

    ``name`` seeds the response ids, so that equal scripts give equal ids. ``websockets`` takes
    WebSockets, each request on which is a call (``llm_socket``). Leaving the block
    waits until the clients have closed their connections and raises what a script raised.
    """

    def __init__(
        self,
        script: Script,
        *,
        name: str = "llm",
        address: str = "127.0.0.1",
        port: int = 0,
        websockets: bool = False,
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.log: list[dict[str, Json]] = []
        self.connections = 0
        self._script = script
        self.websockets = websockets
        self._name = name
        self._listener = socket.create_server((address, port), family=family, backlog=64)
        self._lock = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._failures: list[BaseException] = []
        self._closing = False
        host = f"[{address}]" if ":" in address else address
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"

    def __enter__(self) -> LlmServer:
        self._acceptor = threading.Thread(target=self._accept, name="llm-accept")
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._closing = True
        # A blocked accept() is woken by shutting the listener down, on Linux.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for connection in left:  # idle keep-alive connections that a client left open
            try:
                connection.shutdown(socket.SHUT_RD)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(SOCKET_TIMEOUT_S)
        if self._failures and kind is None:
            raise self._failures[0]

    def wait_for(
        self, condition: Callable[[list[dict[str, Json]]], bool], timeout_s: float
    ) -> None:
        """Wait until ``condition`` holds for the log; raises TimeoutError."""
        with self._lock:
            if not self._lock.wait_for(lambda: condition(self.log), timeout_s):
                raise TimeoutError(f"not served within {timeout_s} s: {len(self.log)} requests")

    def hold(self, delivery: Delivery) -> None:
        """Wait until the head of an answer may be sent."""
        text = delivery.behind
        if text is not None:
            self.wait_for(
                lambda log: any(
                    entry.get("outcome") == "complete"
                    and any(choice["text"] == text for choice in entry["choices"])
                    for entry in log
                ),
                SOCKET_TIMEOUT_S,
            )
        time.sleep(delivery.head_delay_s)

    def write_log(self, path: Path) -> None:
        """Write the log as JSON lines in the order of the requests."""
        lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in self.log)
        path.write_text("".join(lines), encoding="utf-8")

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(SOCKET_TIMEOUT_S)
            with self._lock:
                number = self.connections
                self.connections += 1
                self._open.add(connection)
            thread = threading.Thread(
                target=self._serve, args=(connection, peer[1], number), name=f"llm-{number}"
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, client_port: int, number: int) -> None:
        try:
            Connection(self, connection, client_port, number).run()
        except (ClientGoneError, ConnectionError, TimeoutError):
            pass
        except BaseException as error:  # shown when the server is left
            self._failures.append(error)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def begin(self, entry: dict[str, Json]) -> int:
        """Add an exchange to the log and return its index."""
        with self._lock:
            entry["index"] = len(self.log)
            self.log.append(entry)
            return len(self.log) - 1

    def served(self) -> None:
        """Wake those who wait for the log."""
        with self._lock:
            self._lock.notify_all()

    def reply(self, asked: Asked) -> Reply:
        """Return what the script answers; the server itself knows the health probes."""
        path = asked.path.partition("?")[0]
        if asked.method == "HEAD":
            return Plain()
        if path.endswith("/count_tokens"):
            return Plain(body={"input_tokens": len(json.dumps(asked.body)) // 4})
        return self._script(asked)

    def response_id(self, wire_api: str, index: int) -> str | None:
        """Return the id of a response; Ollama and Converse send none."""
        if wire_api in ("ollama", "bedrock-converse", "gemini-live", "mistral-conversations"):
            return None
        digest = blake2b(f"{self._name}/{index}".encode(), digest_size=12).hexdigest()
        prefixes = {
            "anthropic-messages": "msg_01",
            "bedrock-invoke": "msg_bdrk_01",
            "cohere": "",
            "openai-completions": "cmpl-",
            "openai-responses": "resp_",
            "openai-realtime": "resp_",
            "gemini": "",
        }
        return prefixes.get(wire_api, "chatcmpl-") + digest


def in_order(replies: Iterable[Reply]) -> Script:
    """Return a script that gives ``replies`` one after another."""
    left = list(replies)
    lock = threading.Lock()

    def script(asked: Asked) -> Reply:
        with lock:
            if not left:
                raise AssertionError(f"no reply left for {asked.method} {asked.path}")
            return left.pop(0)

    return script


def delivered(answer: Answer, **changes: Any) -> Answer:
    """Return ``answer`` with another delivery."""
    return replace(answer, delivery=replace(answer.delivery, **changes))
