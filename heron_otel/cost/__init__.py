# SPDX-License-Identifier: Apache-2.0
"""What logical calls cost, by a price book."""
