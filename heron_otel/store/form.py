# SPDX-License-Identifier: Apache-2.0
"""Text fields of a multipart form: how clients send long queries and parameters.

Source: RFC 7578.
"""

from __future__ import annotations

import email.parser
import email.policy
from collections.abc import Iterable

from heron_otel.store.query_error import QueryError


def form_fields(content_type: str, body: Iterable[bytes], max_bytes: int) -> dict[str, str]:
    """Return the fields of a form by name.

    Raises QueryError for files, broken forms and large ones.
    """
    content = bytearray()
    for piece in body:
        content += piece
        if len(content) > max_bytes:
            raise QueryError(
                413, 307, "TOO_MANY_BYTES", f"the form is larger than {max_bytes} bytes"
            )
    if "\r" in content_type or "\n" in content_type:
        raise QueryError(400, 36, "BAD_ARGUMENTS", "the content type is broken")
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(head + bytes(content))
    if not message.is_multipart():
        raise QueryError(400, 36, "BAD_ARGUMENTS", "the form has no parts")
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise QueryError(501, 48, "NOT_IMPLEMENTED", "external tables are not supported")
        payload = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(payload, bytes):
            raise QueryError(
                400, 36, "BAD_ARGUMENTS", "a part of the form has no name or no content"
            )
        fields[name] = payload.decode("utf-8", "surrogateescape")
    return fields
