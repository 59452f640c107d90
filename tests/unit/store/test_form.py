# SPDX-License-Identifier: Apache-2.0
"""Form fields are read; files and broken forms are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from heron_otel.store.form import form_fields
from heron_otel.store.query_error import QueryError


def test_fields_of_a_form_come_back_by_name() -> None:
    wire, content_type = encode_multipart_formdata({"query": "SELECT {x:String}", "param_x": "é\n"})
    fields = form_fields(content_type, [wire[:20], wire[20:]], 10_000)
    assert fields == {"query": "SELECT {x:String}", "param_x": "é\n"}


def test_file_in_a_form_is_refused() -> None:
    wire, content_type = encode_multipart_formdata({"data": ("table.tsv", b"1")})
    with pytest.raises(QueryError, match="external tables") as refused:
        form_fields(content_type, [wire], 10_000)
    assert refused.value.status == 501


def test_large_form_is_refused() -> None:
    wire, content_type = encode_multipart_formdata({"query": "x" * 1000})
    with pytest.raises(QueryError, match="larger than 100 bytes"):
        form_fields(content_type, [wire], 100)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a\r\n",
    ],
)
def test_form_without_usable_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(QueryError):
        form_fields(content_type, [b"--a\r\n\r\nx\r\n--a--"], 1000)


@given(st.binary(max_size=300))
def test_any_bytes_give_fields_or_a_refusal(wire: bytes) -> None:
    assert outcome(b"--a\r\n" + wire) in {200, 400, 501}


def outcome(wire: bytes) -> int:
    try:
        fields = form_fields("multipart/form-data; boundary=a", [wire], 1000)
    except QueryError as error:
        return error.status
    return 200 if all(isinstance(value, str) for value in fields.values()) else 0
