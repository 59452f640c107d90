# SPDX-License-Identifier: Apache-2.0
"""The ``health_check`` extension."""
