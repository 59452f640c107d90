# SPDX-License-Identifier: Apache-2.0
"""Receivers, one folder each."""
