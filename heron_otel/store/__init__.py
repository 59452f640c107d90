# SPDX-License-Identifier: Apache-2.0
"""ClickHouse schema, queries, and the embedded store process that answers its HTTP protocol."""
