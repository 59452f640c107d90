# SPDX-License-Identifier: Apache-2.0
"""Cost per packet and per call, on generated captures, against floors."""
