# SPDX-License-Identifier: Apache-2.0
"""One logical call out of what several hops and taps saw."""
