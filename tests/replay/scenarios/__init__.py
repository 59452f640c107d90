# SPDX-License-Identifier: Apache-2.0
"""What the recorder drives: official SDK clients against scripted answers."""
