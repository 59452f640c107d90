# SPDX-License-Identifier: Apache-2.0
"""The pcap receiver: capture files and interfaces."""
