# SPDX-License-Identifier: Apache-2.0
"""Factories, registry, lifecycle and health of components."""
