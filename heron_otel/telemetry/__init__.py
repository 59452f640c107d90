# SPDX-License-Identifier: Apache-2.0
"""Records to spans: names, ids, redaction."""
