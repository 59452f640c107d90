# SPDX-License-Identifier: Apache-2.0
"""Training data: stored conversations as lines of JSON that trainers read."""
