# SPDX-License-Identifier: Apache-2.0
"""Services beside the pipelines, one folder each."""
