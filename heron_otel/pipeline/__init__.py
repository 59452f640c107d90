# SPDX-License-Identifier: Apache-2.0
"""The stage graph: analysis chain, merge of shards, bounded hand-over to exporters."""
