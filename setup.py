# SPDX-License-Identifier: Apache-2.0
"""Build the C modules; all other settings live in pyproject.toml."""

from setuptools import setup

setup(
    cffi_modules=["heron_otel/native/build_native.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
