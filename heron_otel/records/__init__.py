# SPDX-License-Identifier: Apache-2.0
"""Values that pass between stages, one module per producing stage."""
