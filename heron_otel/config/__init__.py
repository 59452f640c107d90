# SPDX-License-Identifier: Apache-2.0
"""YAML to frozen dataclasses: loading, merging, ``${env:NAME}``, problems with their paths."""
