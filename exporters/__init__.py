# SPDX-License-Identifier: Apache-2.0
"""Exporters, one folder each; what they share is ``sending``."""
