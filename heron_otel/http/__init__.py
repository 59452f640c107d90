# SPDX-License-Identifier: Apache-2.0
"""HTTP exchanges out of the batches of the native core."""
