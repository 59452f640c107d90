# SPDX-License-Identifier: Apache-2.0
"""Which LLM API an exchange used, what was asked and what was answered."""
