# SPDX-License-Identifier: Apache-2.0
"""The stage graph: analysis chain, bounded hand-over to exporters."""
